package egress

import (
	"maps"
	"net/netip"
	"slices"
)

// scope is what to look at: everything, or some of the wanted addresses.
type scope struct {
	all        bool
	neighbours bool // whoever they are; each look reads their table as a whole
	addrs      map[netip.Addr]bool
}

func (s *scope) empty() bool { return !s.all && !s.neighbours && len(s.addrs) == 0 }

func (s *scope) add(addrs ...netip.Addr) {
	if s.addrs == nil {
		s.addrs = map[netip.Addr]bool{}
	}
	for _, a := range addrs {
		s.addrs[a] = true
	}
}

// and returns what is in either.
func (s scope) and(o scope) scope {
	u := scope{all: s.all || o.all, neighbours: s.neighbours || o.neighbours}
	u.add(slices.Collect(maps.Keys(s.addrs))...)
	u.add(slices.Collect(maps.Keys(o.addrs))...)
	return u
}

// index tells whom an event may concern. It is made from a reading and not changed.
type index struct {
	ifindex int
	keys    []key                  // sorted by address: the wanted addresses, and their next hops
	macs    map[netip.Addr][6]byte // of the next hops and gateways; zero: not known
	others  map[netip.Addr][6]byte // of all neighbours
	users   map[int][]netip.Addr   // of other interfaces: whose routes are by them
	stack   map[int]bool           // the interface, and those whose MAC addresses are ours by it
}

// key says that what becomes of address at concerns the way to addr.
type key struct{ at, addr netip.Addr }

func newIndex(r *reading) *index {
	x := &index{ifindex: r.Ifindex, stack: r.stack, macs: map[netip.Addr][6]byte{}, others: r.Neighbours, users: map[int][]netip.Addr{}}
	for _, g := range r.Gateways {
		x.macs[g.Addr] = r.macs[g.Addr]
	}
	for a, h := range r.Hops {
		x.keys = append(x.keys, key{a, a})
		if h.Via.IsValid() {
			mac := h.MAC
			if !h.Known {
				mac = [6]byte{}
			}
			x.macs[h.Via] = mac
			if h.Via != a {
				x.keys = append(x.keys, key{h.Via, a})
			}
		}
		if by := r.by[a]; by != x.ifindex {
			x.users[by] = append(x.users[by], a)
		}
	}
	slices.SortFunc(x.keys, func(k, o key) int { return k.at.Compare(o.at) })
	return x
}

// mark adds to s what an event may concern.
func (x *index) mark(s *scope, e *event) {
	switch e.subject {
	case aboutAll:
		s.all = true
	case aboutLink:
		if e.ifindex == x.ifindex || x.stack[e.ifindex] || x.stack[e.carrier] || x.stack[e.master] {
			s.all = true
		}
		s.add(x.users[e.ifindex]...)
	case aboutNeighbour:
		if e.ifindex != x.ifindex {
			return
		}
		if mac, ok := x.macs[e.addr]; ok && mac != e.mac {
			s.neighbours = true
			x.markPrefix(s, netip.PrefixFrom(e.addr, e.addr.BitLen()))
		} else if mac, ok := x.others[e.addr]; ok && mac != e.mac && e.mac != [6]byte{} {
			s.neighbours = true
		}
	case aboutRoute:
		x.markPrefix(s, e.prefix)
	}
}

// markPrefix adds the wanted addresses that are in the prefix, or whose next hops are.
func (x *index) markPrefix(s *scope, p netip.Prefix) {
	i, _ := slices.BinarySearchFunc(x.keys, p.Addr(), func(k key, a netip.Addr) int { return k.at.Compare(a) })
	for ; i < len(x.keys) && p.Contains(x.keys[i].at); i++ {
		s.add(x.keys[i].addr)
	}
}
