package control

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/testutil"
)

// scenery is a stage without a daemon: what is around it.
func scenery(t *testing.T) *stage {
	t.Helper()
	testutil.RequireRoot(t)
	p, err := newPlace()
	if err != nil {
		t.Fatal(err)
	}
	s := &stage{scene: tiny, place: p, weights: map[int]int{}, served: make(chan error, 1), note: func(text string) { t.Log(text) }}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	if s.lab, err = lab.New(lab.Options{}); err != nil {
		t.Fatal(err)
	}
	if err := s.settle(); err != nil {
		t.Fatal(err)
	}
	if s.silence, err = newSilence(s.backends()); err != nil {
		t.Fatal(err)
	}
	if err := s.serve(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// knock connects from the balancer's host to a backend, for so long at most.
func knock(t *testing.T, s *stage, a netip.Addr, most time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	c, err := s.lab.Balancer.Dial(ctx, "tcp", netip.AddrPortFrom(a, backendPort).String())
	if err == nil {
		c.Close()
	}
	return err
}

// answersARP forgets a neighbour, and reports whether the kernel finds it again.
func answersARP(t *testing.T, s *stage, a netip.Addr) bool {
	t.Helper()
	h := s.lab.Balancer.Netlink()
	link, err := h.LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	n := &netlink.Neigh{LinkIndex: link.Attrs().Index, IP: a.AsSlice()}
	_ = h.NeighDel(n) // it may not be there
	_ = knock(t, s, a, 300*time.Millisecond)
	all, err := h.NeighList(link.Attrs().Index, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		if n.IP.Equal(a.AsSlice()) && n.HardwareAddr != nil {
			return true
		}
	}
	return false
}

// TestDeaths has one address die in both ways, while the others live.
func TestDeaths(t *testing.T) {
	s := scenery(t)
	victim, other := lab.BackendAddr(3), lab.BackendAddr(2)
	const enough, short = 10 * time.Second, 200 * time.Millisecond
	alive := func(when string) {
		t.Helper()
		for i := range tiny.Addresses {
			if err := knock(t, s, lab.BackendAddr(i), enough); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
		}
	}
	dead := func(how string) {
		t.Helper()
		if err := knock(t, s, victim, short); err == nil {
			t.Errorf("%s, it answers", how)
		} else if !errors.Is(err, context.DeadlineExceeded) && !os.IsTimeout(err) {
			t.Errorf("%s, it is not silent: %v", how, err)
		}
		if err := knock(t, s, other, enough); err != nil {
			t.Errorf("%s, another does not answer: %v", how, err)
		}
	}
	alive("at first")

	if err := s.silence.of(victim); err != nil {
		t.Fatal(err)
	}
	dead("silenced")
	if !answersARP(t, s, victim) {
		t.Error("silenced, it does not answer ARP")
	}
	if err := s.silence.of(netip.IPv4Unspecified()); err != nil {
		t.Fatal(err)
	}
	alive("given its voice back")

	if err := s.lose(victim); err != nil {
		t.Fatal(err)
	}
	dead("removed")
	if answersARP(t, s, victim) {
		t.Error("removed, it answers ARP")
	}
	if err := s.lose(victim); err == nil {
		t.Error("it could be removed twice")
	}
	if err := s.hold(victim); err != nil {
		t.Fatal(err)
	}
	alive("given back")
}
