package egress

import (
	"errors"
	"maps"
	"net"
	"slices"

	"github.com/vishvananda/netlink"
)

// whole asks for a list. One in the midst of which something has changed is made anew: where
// containers come and go that is nothing to tell of.
func whole[T any](ask func() ([]T, error)) (list []T, err error) {
	for range 3 {
		if list, err = ask(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return list, err
}

// owned returns the MAC addresses by which frames on a port, which has one, are this
// machine's.
func owned(links []netlink.Link, p *Port) [][6]byte {
	has := stack(links, p.Ifindex)
	var others [][6]byte
	for _, l := range links {
		if mac := macOf(l); has[l.Attrs().Index] && mac != p.MAC && mac != [6]byte{} {
			others = append(others, mac)
		}
	}
	slices.SortFunc(others, func(a, b [6]byte) int { return slices.Compare(a[:], b[:]) })
	return append([][6]byte{p.MAC}, slices.Compact(others)...)
}

// stack returns the interfaces for whose MAC addresses the kernel takes frames that come
// by the served one: itself; above it the VLANs and macvlans that it carries, among these
// VRRP's, and what it is a port of; and below it its own ports, or what carries it. Those
// that are not up have no part in it, nor those that only send by it, as tunnels do, nor
// a macvtap, which is a guest's.
func stack(links []netlink.Link, served int) map[int]bool {
	at := map[int]netlink.Link{} // those that are up
	ports, carried := map[int][]int{}, map[int][]int{}
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagUp == 0 {
			continue
		}
		at[a.Index] = l
		ports[a.MasterIndex] = append(ports[a.MasterIndex], a.Index)
		carried[carrier(l)] = append(carried[carrier(l)], a.Index)
	}
	upper := closure(served, func(i int) (next []int) {
		if l := at[i]; l != nil && isMaster(at[l.Attrs().MasterIndex]) {
			next = append(next, l.Attrs().MasterIndex)
		}
		return append(next, carried[i]...)
	})
	lower := closure(served, func(i int) (next []int) {
		l := at[i]
		if isMaster(l) {
			next = append(next, ports[i]...)
		}
		if l != nil && l.Type() == "vlan" && at[carrier(l)] != nil {
			next = append(next, carrier(l))
		}
		return next
	})
	maps.Copy(upper, lower)
	return upper
}

// isMaster reports whether the kernel takes frames for a port's MAC address as the
// master's, and the reverse.
func isMaster(l netlink.Link) bool {
	return l != nil && slices.Contains([]string{"bridge", "bond", "team"}, l.Type())
}

// carrier returns the interface, of this namespace, that frames for a device's own MAC
// address come by; 0: none does.
func carrier(l netlink.Link) int {
	a := l.Attrs()
	if l.Type() != "vlan" && l.Type() != "macvlan" || a.NetNsID >= 0 {
		return 0
	}
	return a.ParentIndex
}

// closure returns first, and what is next to it, to that, and so on.
func closure(first int, next func(int) []int) map[int]bool {
	all := map[int]bool{first: true}
	for queue := []int{first}; len(queue) > 0; queue = queue[1:] {
		for _, i := range next(queue[0]) {
			if !all[i] {
				all[i] = true
				queue = append(queue, i)
			}
		}
	}
	return all
}
