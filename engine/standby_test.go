package engine

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// What comes by a slave that its bond does not use is dropped, whatever it is, and makes no
// flow; what comes when the bond has turned to it is served.
func TestStandby(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1))
	h.facts.Ports[0].Standby = true
	h.apply()
	syn, fragment := packettest.TCP(client4, vip4, packet.TCPSyn), packettest.TCP(client4, vip4, packet.TCPSyn)
	h.dropped(0, syn, packet.DropStandby)
	h.dropped(0, packettest.Echo("198.51.100.7", "192.0.2.10", 7), packet.DropStandby)
	h.droppedRaw(0, fragment.Bytes()[:20], packet.DropStandby)
	if n := h.engine.flows.Stats().Inserted; n != 0 {
		t.Errorf("%d flows", n)
	}
	h.facts.Ports[0].Standby = false
	h.apply()
	h.one(0, syn)
}
