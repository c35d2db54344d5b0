package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func scattering(vip string, mode balancer.Mode, backends int) balancer.ServiceSpec {
	s := service("dns", vip, mode, backends)
	if mode == balancer.FullNAT {
		s = fullnatService("dns", vip, backends, 100)
	}
	s.Protocol, s.Affinity = balancer.UDP, balancer.AffinityNone
	return s
}

// The datagrams of one port go to all backends in turn, and what each of these answers comes
// from the service: also with more backends than a chain of the flow table has room for, and
// with replies on another queue.
func TestEachDatagramIsBalanced(t *testing.T) {
	for name, ends := range map[string][2]string{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
		for _, c := range []struct {
			mode     balancer.Mode
			backends int
		}{{balancer.NAT, 1}, {balancer.NAT, 3}, {balancer.NAT, 20}, {balancer.FullNAT, 1}, {balancer.FullNAT, 3}, {balancer.FullNAT, 20}} {
			t.Run(fmt.Sprint(name, c.mode, c.backends), func(t *testing.T) {
				s, backends := scattering(ends[1], c.mode, c.backends), c.backends
				h := newHarness(t, 2, s)
				seen := map[string]int{}
				const rounds = 4
				for n := range rounds * backends {
					in := packettest.UDP(ends[0], ends[1], fmt.Sprint("question ", n))
					out := h.one(0, in)
					seen[target(t, &s, out)]++
					reply := packettest.UDP(out.Dst.String(), out.Src.String(), fmt.Sprint("answer ", n))
					for queue := range 2 {
						if got := h.one(queue, reply); got.Src.String() != ends[1] || got.Dst != in.Src {
							t.Fatalf("an answer of %v goes from %v to %v", out.Dst, got.Src, got.Dst)
						}
					}
				}
				for _, b := range s.Backends {
					if seen[b.Name] != rounds {
						t.Errorf("%s got %d of %d datagrams: %v", b.Name, seen[b.Name], rounds*backends, seen)
					}
				}
				if n := h.engine.flows.Stats().Total(); n != backends {
					t.Errorf("%d flows, want one a backend", n)
				}
				for range 100 {
					h.engine.flows.Expire(h.engine.workers[0].now+1<<30, 1000)
				}
				if n := h.engine.flows.Stats().Total(); n != 0 {
					t.Errorf("%d flows are left", n)
				}
			})
		}
	}
}

// What answers the client directly needs no flow.
func TestEachDatagramDirectly(t *testing.T) {
	s := scattering(vip4, balancer.DSR, 3)
	h := newHarness(t, 1, s)
	seen := map[string]int{}
	for range 30 {
		seen[target(t, &s, h.one(0, packettest.UDP(client4, vip4, "syslog")))]++
	}
	if len(seen) != 3 || seen["a"] != 10 || h.engine.flows.Stats().Total() != 0 {
		t.Errorf("%v, %d flows", seen, h.engine.flows.Stats().Total())
	}
	for _, b := range h.engine.workers[0].count.Backends[:3] {
		if b.Packets[0] != 10 {
			t.Errorf("a backend counts %v packets", b.Packets)
		}
	}
	last := packettest.UDP(client4, vip4, "")
	last.TTL = 1
	h.exceeded(last)
}

// A reload takes affinity away and gives it back: a flow that was there before goes on, and
// those that were scattered are in nobody's way.
func TestAffinityChanges(t *testing.T) {
	s := scattering(vip4, balancer.NAT, 3)
	h := newHarness(t, 1, s)
	ask := func(client string) string { return target(t, &s, h.one(0, packettest.UDP(client, vip4, "x"))) }
	for range 3 {
		ask(client4)
	}
	h.spec.Services[0].Affinity = balancer.AffinityFlow
	h.apply()
	stays := ask(client4)
	for range 6 {
		if got := ask(client4); got != stays {
			t.Errorf("with affinity it went to %s and to %s", stays, got)
		}
	}
	h.spec.Services[0].Affinity = balancer.AffinityNone
	h.apply()
	if got := ask(client4); got != stays {
		t.Errorf("a flow that was there went from %s to %s", stays, got)
	}
	seen := map[string]bool{}
	for range 3 {
		seen[ask("198.51.100.8:40000")] = true
	}
	if len(seen) != 3 || h.verdicts(0)[packet.DropTupleClash.String()] != 0 {
		t.Errorf("without affinity a new one is at %v; %v", seen, h.verdicts(0))
	}
}

// All fragments of a datagram go to the backend that the first one went to, in whatever
// order they come.
func TestFragmentsOfScatteredDatagrams(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		for name, ends := range map[string][2]string{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
			t.Run(fmt.Sprint(mode, name), func(t *testing.T) {
				s := scattering(ends[1], mode, 3)
				h := newHarness(t, 2, s)
				seen := map[string]int{}
				for n := range 12 {
					parts := cut(big(ends[0], ends[1], 5000, uint16(n)))
					switch n % 3 {
					case 1:
						slices.Reverse(parts)
					case 2:
						parts[0], parts[1] = parts[1], parts[0]
					}
					out := h.spread(parts, func(int) int { return n % 2 })
					got := assembled(t, out)
					if len(got.Payload) != 5000 {
						t.Fatalf("%d bytes", len(got.Payload))
					}
					seen[target(t, &s, got)]++
				}
				if seen["a"] != 4 || seen["b"] != 4 || seen["c"] != 4 {
					t.Errorf("the datagrams went to %v", seen)
				}
			})
		}
	}
}

// An error about an answer, as that it is too large for the client's way, goes to the backend
// that has answered last, with the answer quoted as that one knows it.
func TestErrorAboutAScatteredAnswer(t *testing.T) {
	for name, ends := range map[string][2]string{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
		for _, mode := range []balancer.Mode{balancer.NAT, balancer.FullNAT} {
			t.Run(fmt.Sprint(name, mode), func(t *testing.T) {
				s := scattering(ends[1], mode, 3)
				h := newHarness(t, 2, s)
				router := "198.51.100.254"
				if name == "ipv6" {
					router = "2001:db8:100::254"
				}
				var asked []packettest.Frame
				for range 3 {
					asked = append(asked, h.one(0, packettest.UDP(ends[0], ends[1], "?")))
				}
				for _, n := range []int{1, 0, 2, 2, 1} {
					h.later(10 * time.Millisecond)
					reply := packettest.UDP(asked[n].Dst.String(), asked[n].Src.String(), "answer")
					answer := h.one(0, reply)
					out := h.one(1, about(answer, router, packet.MAC{2, 0, 0, 0, 7, 7}, 1200))
					quoted, ok := quotedBy(out)
					if !ok || quoted != reply.Key() || out.DstMAC != backendMAC(reply.Src.Addr()) {
						t.Errorf("about an answer of %v: %+v, about %+v", reply.Src, out, quoted)
					}
				}
				h.dropped(0, about(packettest.UDP(ends[1], netip.AddrPortFrom(netip.MustParseAddr(router), 9).String(), "x"), router, packet.MAC{2, 0, 0, 0, 7, 7}, 1200), packet.DropICMP)
			})
		}
	}
}

// quotedBy returns the key of the packet that an error quotes.
func quotedBy(f packettest.Frame) (packet.Key, bool) {
	b := f.Bytes()
	var p packet.Packet
	packet.Parse(b, &p)
	q, ok := packet.Quoted(b, &p)
	return q.Key, ok
}
