package neighbour

import "net/netip"

// Hop is the way to one address.
type Hop struct {
	OnLink bool       // the address itself is the next hop, and its route is by the interface
	Via    netip.Addr // next hop; invalid: there is no route by the interface
	Known  bool       // MAC is known
	MAC    [6]byte
}

// Snapshot is all that is known at one moment. It is never changed once made.
type Snapshot struct {
	Gone    bool // the interface was removed; the rest is from before
	Ifindex int
	LinkUp  bool
	MAC     [6]byte
	Hops    map[netip.Addr]Hop
	Local   []netip.Addr // the machine's own addresses, on all interfaces, sorted
}

// equal reports whether nothing that anybody acts on differs.
func (s *Snapshot) equal(o *Snapshot) bool {
	if s.Gone != o.Gone || s.Ifindex != o.Ifindex || s.LinkUp != o.LinkUp || s.MAC != o.MAC ||
		len(s.Hops) != len(o.Hops) || len(s.Local) != len(o.Local) {
		return false
	}
	for a, h := range s.Hops {
		if o.Hops[a] != h {
			return false
		}
	}
	for i, a := range s.Local {
		if o.Local[i] != a {
			return false
		}
	}
	return true
}
