package engine

import (
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// A balancer that was restarted ends no connection that its client can bring back: it
// waits for that before it calls a backend's segment nobody's. What it has seen the
// beginning of is no service's, and waits for nothing.
func TestYouth(t *testing.T) {
	segment := packettest.TCP("10.0.0.11:8080", client4, packet.TCPAck)
	for name, forwards := range map[string]bool{"a router": true, "no router": false} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1))
			h.engine.young.Store(true)
			k := h.giveBack(forwards)
			h.dropped(0, segment, packet.DropWarming)
			h.one(0, packettest.TCP(client4, vip4, packet.TCPAck)) // brings it back
			h.one(0, segment)
			if f := k.next(); f != nil {
				t.Errorf("the kernel has %x", f)
			}

			h.engine.mature(youthTime - 1)
			other := packettest.TCP("10.0.0.11:8080", "198.51.100.9:4000", packet.TCPAck)
			h.dropped(0, other, packet.DropWarming)
			h.engine.mature(youthTime)
			h.engine.Succeed() // another machine
			h.engine.mature(time.Hour)
			h.dropped(0, other, packet.DropWarming)
			h.engine.made = h.engine.made.Add(-youthTime) // as long ago
			h.engine.mature(time.Hour)
			if forwards {
				h.punted(k, other.Bytes())
			} else if h.pass(0, other); h.verdicts(0)["replied"] != 1 {
				t.Errorf("the backend is not told: %v", h.verdicts(0))
			}
		})
	}
}

// Connections to a backend's own address that begin while the balancer is young.
func TestYouthLeavesOthersAlone(t *testing.T) {
	ntp := service("ntp", "192.0.2.10:123", balancer.NAT, 1)
	ntp.Protocol, ntp.Backends[0].Port = balancer.UDP, 123
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1), ntp)
	h.engine.young.Store(true)
	k := h.giveBack(true)
	for _, f := range []packettest.Frame{
		packettest.TCP("10.0.0.11:8080", client4, packet.TCPSyn|packet.TCPAck),
		packettest.TCP("10.0.0.11:8080", client4, packet.TCPAck),
		packettest.TCP("10.0.0.11:8080", client4, packet.TCPFin|packet.TCPAck),
		packettest.TCP("10.0.0.11:8080", "198.51.100.9:4000", packet.TCPRst|packet.TCPAck), // refused
		packettest.UDP("10.0.0.11:123", "203.0.113.1:123", "what time is it?"),
	} {
		h.punted(k, f.Bytes())
	}
}

// Every engine is young once, and no longer than it should be.
func TestYouthEnds(t *testing.T) {
	e, err := New(Config{Interfaces: []string{"fake0"}, MaxFlows: 1000, Loads: balancer.NewLoads()})
	if err != nil {
		t.Fatal(err)
	}
	for age, young := range map[time.Duration]bool{0: true, youthTime - 1: true} {
		if e.mature(age); e.young.Load() != young {
			t.Errorf("young after %v: %v", age, e.young.Load())
		}
	}
	if e.mature(youthTime); e.young.Load() {
		t.Error("young for ever")
	}
}
