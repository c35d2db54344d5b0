package engine

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// A frame whose source is nobody, or everybody, begins nothing, has no answer, and moves
// nobody's replies, whichever port it comes by: and its drop reason says so.
func TestSourceThatIsNoMachine(t *testing.T) {
	for _, mac := range []packet.MAC{{}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 1}} {
		for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
			empty := service("empty", "192.0.2.11:80", balancer.NAT, 0)
			h := newPorts(t, 1, false, service("web", vip4, mode, 1), empty)
			for port, tags := range [][]uint16{nil, {7}} {
				for name, f := range map[string]packettest.Frame{
					"new":        packettest.TCP(client4, vip4, packet.TCPSyn),
					"no backend": packettest.TCP(client4, "192.0.2.11:80", packet.TCPSyn),
					"echo":       packettest.Echo(client4[:len(client4)-6], vip4[:len(vip4)-3], 8),
				} {
					before := h.verdicts(0)["source-mac"]
					f.SrcMAC, f.VLANs = mac, tags
					if outer, inner := h.by(port, 0, f); len(outer)+len(inner) != 0 || h.verdicts(0)["source-mac"] != before+1 {
						t.Errorf("%v from %v by port %d: %d and %d frames left, verdicts %v", name, mac, port, len(outer), len(inner), h.verdicts(0))
					}
				}
			}
		}
		h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1))
		c := h.connect(client4, vip4, router1)
		h.one(0, from(mac, c.request(packet.TCPAck)))
		c.mustReply(router1, "after a segment that proves itself, from nobody")
	}
}
