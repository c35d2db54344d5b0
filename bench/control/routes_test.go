package control

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// route is one to a single address by way of another.
func route(ifindex int, to, by netip.Addr) *netlink.Route {
	return &netlink.Route{LinkIndex: ifindex, Dst: netlink.NewIPNet(to.AsSlice()), Gw: by.AsSlice()}
}

// TestFlood changes routes, but none that is anybody's, and puts all back.
func TestFlood(t *testing.T) {
	s := scenery(t)
	h := s.lab.Balancer.Netlink()
	routes := func() int {
		t.Helper()
		list, err := h.RouteList(nil, netlink.FAMILY_V4)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before, least, most := routes(), 1<<20, 0
	broken := errors.New("broken")
	rate, err := s.flooded(t.Context(), func() error {
		for begun := time.Now(); time.Since(begun) < 300*time.Millisecond; {
			n := routes()
			least, most = min(least, n), max(most, n)
		}
		if err := knock(t, s, lab.BackendAddr(1), 10*time.Second); err != nil {
			t.Errorf("a backend is not reached meanwhile: %v", err)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Error(err)
	}
	if rate <= 0 || rate > changesPerSecond {
		t.Errorf("%.0f changes a second, want %d at most", rate, changesPerSecond)
	}
	if least == most || most > before+prefixes || least < before {
		t.Errorf("%d routes before, then %d to %d", before, least, most)
	}
	if after := routes(); after != before {
		t.Errorf("%d routes after, %d before", after, before)
	}
}

// TestMove has the balancer's kernel see the new address without asking, as it would
// after a host has taken over.
func TestMove(t *testing.T) {
	s := scenery(t)
	f := &fake{}
	s.api = f.client(t)
	for i := range tiny.Addresses {
		if err := knock(t, s, lab.BackendAddr(i), 10*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	mac := net.HardwareAddr{2, 0xbe, 0, 0, 0, 7}
	f.show(api.Backend{MAC: mac.String()}, api.Backend{MAC: mac.String()})
	if _, err := s.move(t.Context(), mac); err != nil {
		t.Fatal(err)
	}
	h := s.lab.Balancer.Netlink()
	link, err := h.LinkByName(lab.Interface)
	if err != nil {
		t.Fatal(err)
	}
	for seen := 0; seen < tiny.Addresses; { // the packets are on their way
		list, err := h.NeighList(link.Attrs().Index, netlink.FAMILY_V4)
		if err != nil {
			t.Fatal(err)
		}
		seen = 0
		for _, n := range list {
			if n.HardwareAddr.String() == mac.String() {
				seen++
			}
		}
	}
}
