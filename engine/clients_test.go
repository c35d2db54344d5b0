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

// persistent returns a service whose clients, networks of 24 and 56 bits, stay with one
// backend over a group.
func persistent(name, vip, group string, mode balancer.Mode) balancer.ServiceSpec {
	s := service(name, vip, mode, 4)
	s.Persistence = balancer.PersistenceSpec{Timeout: time.Hour, Prefix4: 24, Prefix6: 56, Group: group}
	return s
}

// opens opens a connection and says which backend has it.
func (h *harness) opens(s *balancer.ServiceSpec, from string, port int) string {
	h.t.Helper()
	client := netip.AddrPortFrom(netip.MustParseAddr(from), uint16(port))
	return target(h.t, s, h.one(port%len(h.kernels), packettest.TCP(client.String(), netip.AddrPortFrom(s.Address, s.First).String(), packet.TCPSyn)))
}

// A client's network stays with one backend, over workers and over the services of its group,
// whose backends have other ports; other networks do not go there for it.
func TestClientsStay(t *testing.T) {
	for name, c := range map[string]struct {
		vips   [2]string
		client string // with the host's part to come
	}{
		"ipv4": {[2]string{"192.0.2.10:80", "192.0.2.10:443"}, "198.51.%d.%d"},
		"ipv6": {[2]string{"[2001:db8:2::10]:80", "[2001:db8:2::10]:443"}, "2001:db8:100:%d00::%d"},
	} {
		for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
			t.Run(fmt.Sprint(name, "/", mode), func(t *testing.T) {
				web, tls := persistent("web", c.vips[0], "shop", mode), persistent("tls", c.vips[1], "shop", mode)
				for i := range tls.Backends {
					if mode == balancer.NAT {
						tls.Backends[i].Port = 8443
					}
				}
				slices.Reverse(tls.Backends)
				h := newHarness(t, 2, web, tls)
				seen := map[string]bool{}
				for net := range 8 {
					first := ""
					for n := range 12 {
						s := []*balancer.ServiceSpec{&web, &tls}[n%2]
						b := h.opens(s, fmt.Sprintf(c.client, net+1, n/2+1), 20000+n)
						if first == "" {
							first = b
						}
						if b != first {
							t.Fatalf("connection %d of network %d, to %s, went to %s and not to %s", n, net, s.Name, b, first)
						}
					}
					seen[first] = true
				}
				if len(seen) != 4 {
					t.Errorf("eight networks are at %d of 4 backends", len(seen))
				}
				if s := h.engine.clients.Stats(); s.Clients != 8 {
					t.Errorf("%d clients are remembered, want 8", s.Clients)
				}
			})
		}
	}
}

// Services that are not of one group remember for themselves.
func TestClientsOfServicesWithoutAGroup(t *testing.T) {
	web, other := persistent("web", "192.0.2.10:80", "", balancer.NAT), persistent("other", "192.0.2.11:80", "", balancer.NAT)
	h := newHarness(t, 1, web, other)
	h.opens(&web, "198.51.100.1", 20000)
	h.opens(&web, "203.0.113.1", 20001)
	h.opens(&other, "203.0.113.1", 20002)
	if s := h.engine.clients.Stats(); s.Clients != 3 {
		t.Errorf("%d clients are remembered, want 3", s.Clients)
	}
}

// A client leaves a backend that is down or drains, and then stays where it is.
func TestClientsLeaveWhoIsGone(t *testing.T) {
	s := probed(persistent("web", vip4, "", balancer.NAT))
	h := newHarness(t, 1, s)
	for _, b := range s.Backends {
		h.setHealth("web", b.Name, balancer.StateUp)
	}
	first := h.opens(&s, "198.51.100.1", 20000)
	h.setHealth("web", first, balancer.StateDown)
	second := h.opens(&s, "198.51.100.1", 20001)
	h.setHealth("web", first, balancer.StateUp)
	if again := h.opens(&s, "198.51.100.1", 20002); second == first || again != second {
		t.Errorf("it was with %s, which went down, then with %s, and is with %s", first, second, again)
	}
	i := slices.IndexFunc(s.Backends, func(b balancer.BackendSpec) bool { return b.Name == second })
	h.spec.Services[0].Backends[i].Weight = 0
	h.apply()
	if third := h.opens(&s, "198.51.100.1", 20003); third == second {
		t.Errorf("it is with %s, which drains", third)
	}
}

// Flows hold their client, and let go of it when they are over; only who has answered is
// proven.
func TestClientsAreHeldByFlows(t *testing.T) {
	s := persistent("web", vip4, "", balancer.NAT)
	s.Persistence.Timeout = time.Millisecond
	h := newHarness(t, 1, s)
	h.connect("198.51.100.7:40000", vip4, packettest.ClientMAC)
	w := h.engine.workers[0]
	who, _ := client(&w.table.Services[0], new(packet.AddrFrom(netip.MustParseAddr("198.51.100.99"))))
	if _, ok := h.engine.clients.Find(who, w.now+60_000); !ok {
		t.Error("it is forgotten while it is connected")
	}
	for range 100 { // lists, of one shard
		h.engine.flows.Expire(w.now+1<<30, 1000)
	}
	if _, ok := h.engine.clients.Find(who, w.now+60_000); ok {
		t.Error("it is remembered without a connection, after its time")
	}
}

// A flow that can't go where its client stays, since its answers could not be told from
// another's or would be the client's own, goes elsewhere alone.
func TestOneFlowMovesNoClient(t *testing.T) {
	s := persistent("web", vip4, "", balancer.NAT)
	taken := service("taken", "192.0.2.11:80", balancer.NAT, 1)
	h := newHarness(t, 1, s, taken)
	home := h.opens(&s, "198.51.100.7", 20000)
	h.spec.Services[1].Backends[0].Address = h.key("web", home).Address
	h.apply()
	h.one(0, packettest.TCP("198.51.100.7:30000", "192.0.2.11:80", packet.TCPSyn))
	if got := h.opens(&s, "198.51.100.7", 30000); got == home {
		t.Fatalf("two flows of one client's port are at %s", got)
	}
	for n := range 3 {
		if got := h.opens(&s, "198.51.100.9", 20001+n); got != home {
			t.Errorf("its network went from %s to %s", home, got)
		}
	}
	// The backends' own network: each of them is a client, and none is its own.
	home = h.opens(&s, "10.0.0.99", 20000)
	for _, b := range s.Backends {
		h.opens(&s, b.Address.String(), 20000)
	}
	if got := h.opens(&s, "10.0.0.98", 20001); got != home {
		t.Errorf("the backends' network went from %s to %s", home, got)
	}
}
