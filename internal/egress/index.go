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
	keys     []key                 // sorted by address: the wanted addresses, and their next hops
	macs     map[Neighbour][6]byte // of the next hops and gateways; zero: not known
	others   map[Neighbour]Place   // of all neighbours
	users    map[int][]netip.Addr  // of interfaces that lead to no port: whose routes are by them
	tree     *tree
	stations map[[6]byte]bool // MAC addresses that a bridge may lead to
	absent   map[string]bool  // names of ports that are not there
}

// key says that what becomes of address at concerns the way to addr.
type key struct{ at, addr netip.Addr }

func newIndex(r *reading) *index {
	x := &index{tree: r.tree, macs: map[Neighbour][6]byte{}, others: r.Neighbours, users: map[int][]netip.Addr{}, stations: map[[6]byte]bool{}, absent: map[string]bool{}}
	for i := range r.Ports {
		if p := &r.Ports[i]; p.Ifindex == 0 && p.Name != "" {
			x.absent[p.Name] = true
		}
	}
	for i := range r.Gateways {
		n := r.Gateways[i].Neighbour
		x.macs[n] = r.macs[n]
	}
	for a, ways := range r.ways {
		x.keys = append(x.keys, key{a, a})
		for _, h := range ways {
			if n := (Neighbour{h.Device, h.Via}); h.Via.IsValid() {
				x.macs[n] = r.macs[n]
				if h.Via != a {
					x.keys = append(x.keys, key{h.Via, a})
				}
			}
			if !r.tree.leads[h.Device] {
				x.users[h.Device] = append(x.users[h.Device], a)
			}
		}
	}
	if r.tree.bridges {
		for _, mac := range r.macs {
			x.stations[mac] = true
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
		if t := x.tree; t.stack[e.ifindex] || t.stack[e.carrier] || t.stack[e.master] || x.absent[e.name] {
			s.all = true
		}
		s.add(x.users[e.ifindex]...)
	case aboutNeighbour:
		n := Neighbour{e.ifindex, e.addr}
		if mac, ok := x.macs[n]; ok && mac != e.mac {
			s.neighbours = true
			x.markPrefix(s, netip.PrefixFrom(e.addr, e.addr.BitLen()))
		} else if at, ok := x.others[n]; ok && at.MAC != e.mac && e.mac != [6]byte{} {
			s.neighbours = true
		}
	case aboutStation:
		if x.stations[e.mac] && x.tree.fdb[station{e.master, e.vlan, e.mac}] != e.ifindex {
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
