package egress

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/lab"
)

// Whom nobody answers for has been asked for since the beginning, and that is told once.
func TestNoAnswer(t *testing.T) {
	w := watch(t)
	silent, behind := lab.BackendAddr(99), netip.MustParseAddr("203.0.113.7")
	route := &netlink.Route{LinkIndex: w.Snapshot().Ports[0].Ifindex, Dst: netlink.NewIPNet(behind.AsSlice()), Gw: silent.AsSlice()}
	if err := w.lab.Balancer.Netlink().RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	w.Set([]netip.Addr{silent, behind})
	first := w.until("that they are asked for", func(s Snapshot) bool {
		return !s.Hops[silent].Asked.IsZero() && !s.Hops[behind].Asked.IsZero()
	})
	w.awaitLook()
	for a, h := range w.Snapshot().Hops {
		if h != first.Hops[a] || h.Known || h.Via != silent || h.Why != "" {
			t.Errorf("hop to %v: %+v, and first %+v", a, h, first.Hops[a])
		}
	}
}

// A neighbour whose entry goes keeps its MAC address, for whoever wants to go on with
// it, until it answers again.
func TestLostNeighbour(t *testing.T) {
	w := watch(t)
	a := lab.BackendAddr(0)
	w.Set([]netip.Addr{a})
	had := w.until("the backend", func(s Snapshot) bool { return s.Hops[a].Known }).Hops[a]
	if !had.Asked.IsZero() {
		t.Errorf("it is known, and asked for since %v", had.Asked)
	}
	if err := w.lab.SetForwarding(w.lab.Backends[0], false); err != nil {
		t.Fatal(err)
	}
	n := &netlink.Neigh{LinkIndex: w.Snapshot().Ports[0].Ifindex, IP: a.AsSlice()}
	if err := w.lab.Balancer.Netlink().NeighDel(n); err != nil {
		t.Fatal(err)
	}
	lost := w.until("the loss", func(s Snapshot) bool { return !s.Hops[a].Known }).Hops[a]
	if lost.MAC != had.MAC || lost.Asked.IsZero() || lost.Via != a {
		t.Errorf("lost: %+v, before %+v", lost, had)
	}
	w.awaitLook()
	if h := w.Snapshot().Hops[a]; h != lost {
		t.Errorf("a second later: %+v, at first %+v", h, lost)
	}
	if err := w.lab.SetForwarding(w.lab.Backends[0], true); err != nil {
		t.Fatal(err)
	}
	if h := w.until("the return", func(s Snapshot) bool { return s.Hops[a].Known }).Hops[a]; h != had {
		t.Errorf("back: %+v, before %+v", h, had)
	}
}

// A link that goes down takes neighbours and routes with it. That is no news about the
// backends: all is as it was when it returns, and the hops are to be asked for anew.
func TestLinkDownAndUp(t *testing.T) {
	for name, c := range map[string]struct {
		set func(*lab.Lab, bool) error
		why string
	}{
		"administrator": {
			func(l *lab.Lab, up bool) error { return l.Balancer.SetLink(lab.Interface, up) },
			"the interface is down (ip link set eth0 up)",
		},
		"cable": {func(l *lab.Lab, up bool) error { return l.SetPort(l.Balancer, up) }, "no carrier"},
	} {
		t.Run(name, func(t *testing.T) {
			w := watch(t)
			a, elsewhere := lab.BackendAddr(0), netip.MustParseAddr("203.0.113.1")
			w.Set([]netip.Addr{a, elsewhere})
			had := w.until("the backend", func(s Snapshot) bool { return s.Hops[a].Known })
			if err := c.set(w.lab, false); err != nil {
				t.Fatal(err)
			}
			down := w.until("link down", func(s Snapshot) bool { return !s.LinkUp && !s.Hops[a].Known })
			w.awaitLook()
			s := w.Snapshot()
			if s.LinkWhy != c.why {
				t.Errorf("there is no link for %q, want %q", s.LinkWhy, c.why)
			}
			if h := s.Hops[a]; h != down.Hops[a] || h.MAC != had.Hops[a].MAC || h.Via != a || h.Why != "" || h.Asked.IsZero() {
				t.Errorf("while the link is down: %+v, at first %+v, before %+v", h, down.Hops[a], had.Hops[a])
			}
			if s.Hops[elsewhere] != had.Hops[elsewhere] {
				t.Errorf("without a route: %+v, before %+v", s.Hops[elsewhere], had.Hops[elsewhere])
			}
			if err := c.set(w.lab, true); err != nil {
				t.Fatal(err)
			}
			up := w.until("link up", func(s Snapshot) bool { return s.LinkUp && s.Hops[a].Known })
			if up.Hops[a] != had.Hops[a] || up.LinkWhy != "" {
				t.Errorf("after it: %+v, before %+v", up.Hops[a], had.Hops[a])
			}
		})
	}
}
