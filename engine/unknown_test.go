package engine

import (
	"fmt"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// What is not known moves nobody, resets nobody and refuses nobody, whatever on-down and
// on-no-backend say.
func TestUnknownIsNotDown(t *testing.T) {
	for onDown := balancer.Reassign; onDown <= balancer.Reset; onDown++ {
		t.Run(onDown.String(), func(t *testing.T) {
			s := probed(service("web", vip4, balancer.NAT, 3))
			s.OnDown = onDown
			h := newHarness(t, 1, s)
			for _, b := range []string{"a", "b", "c"} {
				h.setHealth("web", b, balancer.StateUp)
			}
			at := map[string]string{}
			for port := range 30 {
				f := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 40000+port), vip4, packet.TCPSyn)
				at[f.Src.String()] = target(t, &s, h.one(0, f))
			}
			h.setHealth("web", "a", balancer.StateUnknown)
			for _, why := range []string{"one of three is unknown", "all are"} {
				for port := range 30 {
					f := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 40000+port), vip4, packet.TCPAck)
					if got := target(t, &s, h.one(0, f)); got != at[f.Src.String()] {
						t.Errorf("%s: the flow of %v moved from %s to %s", why, f.Src, at[f.Src.String()], got)
					}
				}
				h.setHealth("web", "b", balancer.StateUnknown)
				h.setHealth("web", "c", balancer.StateUnknown)
			}
			h.setHealth("web", "b", balancer.StateUp)
			for port := range 10 {
				f := packettest.TCP(fmt.Sprintf("198.51.100.8:%d", 40000+port), vip4, packet.TCPSyn)
				if got := target(t, &s, h.one(0, f)); got != "b" {
					t.Errorf("a new flow went to %s, of which nothing is known", got)
				}
			}
		})
	}
}

// Before anybody is known to be up, whoever opens a connection has to repeat himself, and
// whoever has one goes by the consistent hash: as at a balancer that knows all.
func TestWarmingUp(t *testing.T) {
	s, udp := probed(service("web", vip4, balancer.NAT, 7)), probed(service("dns", "192.0.2.10:53", balancer.NAT, 7))
	udp.Protocol = balancer.UDP
	knowing, starting := newHarness(t, 1, s, udp), newHarness(t, 1, s, udp)
	for _, b := range s.Backends {
		knowing.setHealth("web", b.Name, balancer.StateUp)
	}
	starting.dropped(0, packettest.TCP(client4, vip4, packet.TCPSyn), packet.DropWarming)
	starting.dropped(0, packettest.UDP(client4, "192.0.2.10:53", "anyone?"), packet.DropWarming)
	if n := starting.engine.flows.Stats().Inserted; n != 0 {
		t.Errorf("%d flows for packets that nobody got", n)
	}
	for port := range 100 {
		f := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 40000+port), vip4, packet.TCPAck)
		if a, b := target(t, &s, knowing.one(0, f)), target(t, &s, starting.one(0, f)); a != b {
			t.Fatalf("port %d: one balancer picks %s, the one that starts %s", port, a, b)
		}
	}
	for _, b := range s.Backends { // it was no warm-up, they are all dead
		starting.setHealth("web", b.Name, balancer.StateDown)
	}
	if out := starting.one(0, packettest.TCP("198.51.100.9:1", vip4, packet.TCPSyn)); out.Flags&packet.TCPRst == 0 {
		t.Errorf("a client got flags %#x of a service without a backend, want a RST", out.Flags)
	}
	if out := starting.one(0, packettest.TCP("198.51.100.9:2", vip4, packet.TCPAck)); out.Flags&packet.TCPRst == 0 {
		t.Errorf("a connection that nobody has got flags %#x, want a RST", out.Flags)
	}
}

// When all backends seem dead at one moment, flows stay until each is known for itself,
// and unless on-down is reset.
func TestSuspects(t *testing.T) {
	setup := func(t *testing.T, onDown balancer.OnDown) (*harness, *balancer.ServiceSpec, packettest.Frame) {
		s := probed(service("web", vip4, balancer.NAT, 2))
		s.OnDown = onDown
		h := newHarness(t, 1, s)
		h.setHealth("web", "a", balancer.StateUp)
		h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
		h.setHealth("web", "a", balancer.StateSuspect)
		h.setHealth("web", "b", balancer.StateSuspect)
		return h, &s, packettest.TCP(client4, vip4, packet.TCPAck)
	}
	for _, onDown := range []balancer.OnDown{balancer.Reassign, balancer.Keep} {
		h, s, f := setup(t, onDown)
		if got := target(t, s, h.one(0, f)); got != "a" {
			t.Errorf("%v: went to %s when all seemed dead", onDown, got)
		}
		h.setHealth("web", "b", balancer.StateUp)
		if got := target(t, s, h.one(0, f)); got != "a" {
			t.Errorf("%v: went to %s when that one was back first", onDown, got)
		}
		h.setHealth("web", "a", balancer.StateDown)
		want := map[balancer.OnDown]string{balancer.Reassign: "b", balancer.Keep: "a"}[onDown]
		if got := target(t, s, h.one(0, f)); got != want {
			t.Errorf("%v: went to %s when a was known to be dead, want %s", onDown, got, want)
		}
	}
	t.Run("reset", func(t *testing.T) {
		h, _, f := setup(t, balancer.Reset)
		if out := h.one(0, f); out.Flags&packet.TCPRst == 0 {
			t.Errorf("the client got flags %#x, want a RST", out.Flags)
		}
	})
	t.Run("nobody remembers", func(t *testing.T) {
		h, s, f := setup(t, balancer.Reassign)
		f.Src = packettest.TCP("198.51.100.9:1", vip4, 0).Src
		target(t, s, h.one(0, f)) // to either
		f.Src, f.Flags = packettest.TCP("198.51.100.9:2", vip4, 0).Src, packet.TCPSyn
		if out := h.one(0, f); out.Flags&packet.TCPRst == 0 {
			t.Errorf("a new connection got flags %#x, want a RST", out.Flags)
		}
	})
}

// In mid-stream the first choice may be a backend outside of the rotation. If its reply
// tuple is taken, those in rotation are tried, and nobody else if there are none.
func TestTupleClashOutsideOfTheRotation(t *testing.T) {
	const other = "192.0.2.10:81"
	taken, s := service("taken", other, balancer.NAT, 1), probed(service("web", vip4, balancer.NAT, 2))
	for name, up := range map[string]bool{"another is in rotation": true, "nobody is": false} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, 1, taken, s)
			if up {
				h.setHealth("web", "b", balancer.StateUp)
			}
			for port := range 30 {
				client := fmt.Sprintf("198.51.100.7:%d", 40000+port)
				h.one(0, packettest.TCP(client, other, packet.TCPSyn)) // to a's address and port
				out := h.one(0, packettest.TCP(client, vip4, packet.TCPAck))
				if refused := out.Flags&packet.TCPRst != 0; refused && up || !refused && target(t, &s, out) != "b" {
					t.Fatalf("%v left for %v, flags %#x", client, out.DstMAC, out.Flags)
				}
			}
			if clashes := h.engine.flows.Stats().Clashes; clashes == 0 {
				t.Error("nobody was sent to a first")
			} else if n := h.verdicts(0)["replied"]; !up && n != clashes {
				t.Errorf("%d clashes, of which %d were refused", clashes, n)
			}
		})
	}
}
