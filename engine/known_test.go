package engine

import (
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

const inside4 = "192.0.2.20:80" // a service, and the client of another one

// A worker that has not seen a flow finds it in the table, in either direction, whatever
// its packets look like.
func TestFlowsAreKnownOnAnotherQueue(t *testing.T) {
	for name, client := range map[string]string{"a client": client4, "a client with a service's address and port": inside4} {
		for kind, flags := range map[string]uint8{"SYN-ACK": packet.TCPSyn | packet.TCPAck, "ACK": packet.TCPAck, "SYN": packet.TCPSyn} {
			t.Run(name+", "+kind, func(t *testing.T) {
				h := newHarness(t, 2, service("web", vip4, balancer.NAT, 3), service("inside", inside4, balancer.NAT, 3))
				h.one(0, packettest.TCP("198.51.100.99:1", vip4, packet.TCPSyn)) // the first record is any slot's hint
				out := h.one(0, packettest.TCP(client, vip4, packet.TCPSyn))
				back := h.one(1, packettest.TCP(out.Dst.String(), client, flags))
				if back.Src.String() != vip4 || back.Dst.String() != client {
					t.Errorf("the reply left from %v to %v", back.Src, back.Dst)
				}
				again := h.one(1, packettest.TCP(client, vip4, packet.TCPAck))
				if again.Dst != out.Dst {
					t.Errorf("the request went to %v, want %v", again.Dst, out.Dst)
				}
				if n := h.engine.flows.Stats().Inserted; n != 2 {
					t.Errorf("%d flows for two connections", n)
				}
			})
		}
	}
}

// A flow whose service is gone ends at its next request, on whatever queue it comes.
func TestRemovedServiceOnAnotherQueue(t *testing.T) {
	h := newHarness(t, 2, service("web", vip4, balancer.NAT, 1), service("other", inside4, balancer.NAT, 1))
	h.one(0, packettest.TCP("198.51.100.99:1", inside4, packet.TCPSyn))
	h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
	h.spec.Services = h.spec.Services[1:]
	h.apply()
	h.dropped(1, packettest.TCP(client4, vip4, packet.TCPAck), packet.DropNoFlow)
	if n := h.engine.flows.Stats().Total(); n != 1 {
		t.Errorf("%d flows are left, want the other service's", n)
	}
}

// The replies of a new flow must not be the requests of one that is there: its client is a
// backend of the new one, with that port, and the new one's client is its service.
func TestRepliesAreNobodysRequests(t *testing.T) {
	for _, backends := range []int{1, 2} {
		h := newHarness(t, 1, service("inside", inside4, balancer.NAT, 3), service("web", vip4, balancer.NAT, backends))
		h.one(0, packettest.TCP("10.0.0.11:8080", inside4, packet.TCPSyn)) // from web's first backend
		in := packettest.TCP(inside4, vip4, packet.TCPSyn)
		if backends == 1 {
			h.refused(in)
			if n := h.engine.flows.Stats().Clashes; n != 1 {
				t.Errorf("%d clashes are counted", n)
			}
			h.one(0, packettest.TCP("10.0.0.11:8080", inside4, packet.TCPRst)) // those that are over make way
			if out := h.one(0, in); out.Dst.String() != "10.0.0.11:8080" {
				t.Errorf("went to %v", out.Dst)
			}
			continue
		}
		if out := h.one(0, in); out.Dst.String() != "10.0.0.12:8080" {
			t.Errorf("went to %v", out.Dst)
		}
	}
}
