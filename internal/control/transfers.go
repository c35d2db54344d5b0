package control

import (
	"net/netip"
	"slices"

	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/packet"
)

// transfers say where the replies of flows go after some neighbours have moved. Places are
// hop words.
type transfers struct {
	left map[uint64]*departure // by the place that was left
	home map[egress.Neighbour]uint64
	are  map[netip.Addr][]egress.Neighbour // one for each interface that has the address on it
}

// departure is who has left a place.
type departure struct {
	who []egress.Neighbour
	// beyond is where the replies go now to clients that are not on the link themselves,
	// of IPv4 and of IPv6; 0: to the same place, since somebody else may be their router.
	beyond [2]uint64
}

// newTransfers returns what moves amount to, by where everybody is now. One who is back
// has not moved.
func newTransfers(moves []egress.Move, s *egress.Snapshot, places words) *transfers {
	t := &transfers{
		left: map[uint64]*departure{}, home: make(map[egress.Neighbour]uint64, len(s.Neighbours)),
		are: make(map[netip.Addr][]egress.Neighbour, len(s.Neighbours)),
	}
	for n, p := range s.Neighbours {
		if hop := places.of(p); hop != 0 {
			t.home[n] = hop
			t.are[n.Addr] = append(t.are[n.Addr], n)
		}
	}
	for _, m := range moves {
		hop := places.of(m.From)
		if t.home[m.Who] == hop {
			continue
		}
		if t.left[hop] == nil {
			t.left[hop] = &departure{}
		}
		t.left[hop].who = append(t.left[hop].who, m.Who)
	}
	routers, neighbours := [2]hosts{newHosts(), newHosts()}, [2]hosts{newHosts(), newHosts()}
	for _, g := range s.Gateways {
		for f, serves := range [2]bool{g.IPv4, g.IPv6} {
			if hop := places.of(g.Place); serves && g.Place != (egress.Place{}) && hop != 0 {
				routers[f].add(g.Neighbour, hop)
			}
		}
	}
	for n, hop := range t.home {
		neighbours[family(n.Addr)].add(n, hop)
	}
	for hop, d := range t.left {
		for f := range d.beyond {
			if d.beyond[f] = routers[f].heir(d.who, hop); d.beyond[f] == 0 {
				d.beyond[f] = neighbours[f].heir(d.who, hop)
			}
		}
	}
	return t
}

// hosts are some that may be others' router.
type hosts struct {
	at   map[egress.Neighbour]uint64
	held map[uint64]bool // places
}

func newHosts() hosts { return hosts{map[egress.Neighbour]uint64{}, map[uint64]bool{}} }

func (h *hosts) add(n egress.Neighbour, hop uint64) { h.at[n], h.held[hop] = hop, true }

// heir returns where those of the hosts are now who have left the place; 0 if there
// are none, if they went different ways, or if another one is still there.
func (h *hosts) heir(who []egress.Neighbour, hop uint64) (heir uint64) {
	if h.held[hop] {
		return 0
	}
	for _, n := range who {
		switch at := h.at[n]; {
		case at == 0:
		case heir != 0 && heir != at:
			return 0
		default:
			heir = at
		}
	}
	return heir
}

// to returns where replies to a client go that went to a place.
func (t *transfers) to(client packet.Addr, hop uint64) uint64 {
	d := t.left[hop]
	if d == nil {
		return hop
	}
	a := client.Netip()
	for _, n := range t.are[a] { // it shares the place with one who has moved, and has not
		if t.home[n] == hop {
			return hop
		}
	}
	for _, n := range t.are[a] {
		if slices.Contains(d.who, n) {
			return t.home[n]
		}
	}
	if at := d.beyond[family(a)]; at != 0 {
		return at
	}
	return hop
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}
