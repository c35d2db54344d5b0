package egress

import (
	"fmt"
	"math"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/packet"
)

// tree is how the machine's interfaces lie one above the other, down to the ports. It is
// not changed once it is made.
type tree struct {
	at      map[int]netlink.Link
	members map[int][]netlink.Link // of bonds and bridges, in the order of the links
	served  []Port
	ports   map[int]uint8 // indices into served, by number
	leads   map[int]bool  // interfaces from which frames come to a port
	stack   map[int]bool  // those whose changes may change where frames go
	over    map[int]int   // other interfaces whose frames may go by a port, and its number
	vrf     string        // that some of them are in; empty: none is in one
	bridges bool          // some of those that lead are bridges
	vlans   vlans         // of these
	fdb     fdb
	mtus6   map[int]int // by number, for IPv6; none: it is not there
}

func newTree(links []netlink.Link, served []Port) *tree {
	t := &tree{
		at: map[int]netlink.Link{}, members: map[int][]netlink.Link{}, served: served,
		ports: map[int]uint8{}, leads: map[int]bool{}, stack: map[int]bool{}, over: map[int]int{},
	}
	upper := map[int][]int{} // what sends by an interface
	for _, l := range links {
		a := l.Attrs()
		t.at[a.Index] = l
		if on := carrier(l); on != 0 {
			upper[on] = append(upper[on], a.Index)
		}
	}
	for _, l := range links {
		i, master := l.Attrs().Index, l.Attrs().MasterIndex
		switch t.at[master].(type) {
		case *netlink.Bond, *netlink.Bridge:
			t.members[master] = append(t.members[master], l)
			upper[i] = append(upper[i], master)
		}
	}
	for i := range served {
		p := &served[i]
		if p.Ifindex == 0 {
			continue
		}
		t.ports[p.Ifindex] = uint8(i)
		for d := range closure(p.Ifindex, func(i int) []int { return upper[i] }) {
			t.leads[d], t.stack[d] = true, true
		}
		for d := range stack(links, p.Ifindex) {
			t.stack[d] = true
		}
	}
	higher := above(t.at)
	for i := range served {
		if p := &served[i]; p.Ifindex != 0 {
			for d := range closure(p.Ifindex, higher) {
				if !t.leads[d] {
					t.over[d] = p.Ifindex
				}
			}
		}
	}
	for _, l := range links {
		if port, ok := t.over[l.Attrs().Index]; ok && l.Type() == "vrf" {
			t.vrf = fmt.Sprintf("%s, with %s", l.Attrs().Name, t.name(port))
			break
		}
	}
	for d := range t.leads {
		if _, ok := t.at[d].(*netlink.Bridge); ok && !t.isPort(d) {
			t.bridges = true
		}
	}
	return t
}

func (t *tree) isPort(i int) bool {
	_, ok := t.ports[i]
	return ok
}

// name returns what an interface is called.
func (t *tree) name(i int) string {
	if l := t.at[i]; l != nil {
		return l.Attrs().Name
	}
	return fmt.Sprintf("interface %d", i)
}

// maxDepth bounds the way down: the kernel nests interfaces eight deep (MAX_NEST_DEV in
// include/linux/netdevice.h).
const maxDepth = 8

// exit is where frames leave that are sent by an interface.
type exit struct {
	link  Link
	mtu   int
	known bool
	why   string // why they don't leave by a port, for people; if they may and are not known to: empty
}

// down returns where the frames leave that the machine sends to mac by an interface: as the
// kernel's own would, as long as that is by a port.
func (t *tree) down(first int, mac [6]byte) (e exit) {
	e.mtu = math.MaxInt
	var tags []packet.Tag // innermost first
	device := first
	for range maxDepth {
		l := t.at[device]
		if l == nil || !t.leads[device] {
			e.why = t.unserved(first, device)
			return e
		}
		e.mtu = min(e.mtu, l.Attrs().MTU)
		if i, ok := t.ports[device]; ok {
			e.link.Port, e.known = i, true
			if len(tags) > len(e.link.Tags) {
				return exit{why: fmt.Sprintf("route is by %s: that is more than two VLAN tags", t.name(first))}
			}
			for n, tag := range tags {
				e.link.Tags[len(tags)-1-n] = tag
			}
			return e
		}
		var why string
		switch l := l.(type) {
		case *netlink.Vlan:
			device, tags = l.ParentIndex, append(tags, tagOf(l))
		case *netlink.Macvlan:
			device = l.ParentIndex
		case *netlink.Bond:
			device, why = t.slave(l, mac)
		case *netlink.Bridge:
			device, tags, why = t.across(l, mac, tags)
		}
		if why != "" {
			e.why = fmt.Sprintf("route is by %s: %s", t.name(first), why)
		}
		if device == 0 {
			return e
		}
	}
	return exit{why: fmt.Sprintf("route is by %s: interfaces are nested too deep there", t.name(first))}
}

// unserved says that the way by the first interface ends at a device below which no port is.
func (t *tree) unserved(first, device int) string {
	is := "is not served"
	if port, ok := t.over[device]; ok {
		is = fmt.Sprintf("is above %s, but no VLAN, macvlan, bond or bridge", t.name(port))
	}
	if device == first {
		return fmt.Sprintf("route is by %s, which %s", t.name(first), is)
	}
	return fmt.Sprintf("route is by %s: %s %s", t.name(first), t.name(device), is)
}

// above tells of each interface whose frames may go by it, whatever they are: what it is a
// port of, and what has it as a parent.
func above(at map[int]netlink.Link) func(lower int) []int {
	next := map[int][]int{}
	for i, l := range at {
		a := l.Attrs()
		if a.MasterIndex != 0 {
			next[i] = append(next[i], a.MasterIndex)
		}
		// To a veth, the parent is its other end; with a NetNsID, it is another namespace's.
		if a.ParentIndex != 0 && a.NetNsID < 0 && l.Type() != "veth" {
			next[a.ParentIndex] = append(next[a.ParentIndex], i)
		}
	}
	return func(i int) []int { return next[i] }
}

// tagOf returns the tag that a VLAN's frames get.
func tagOf(l *netlink.Vlan) packet.Tag { return packet.Tag(l.VlanProtocol)<<16 | packet.Tag(l.VlanId) }
