package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernel is what is asked of the kernel: a *netlink.Handle, but in tests.
type kernel interface {
	LinkByIndex(index int) (netlink.Link, error)
	LinkList() ([]netlink.Link, error)
	AddrList(link netlink.Link, family int) ([]netlink.Addr, error)
	NeighList(index, family int) ([]netlink.Neigh, error)
	NeighSet(n *netlink.Neigh) error
	RouteGet(to net.IP) ([]netlink.Route, error)
	RouteListFilteredIter(family int, filter *netlink.Route, mask uint64, visit func(netlink.Route) bool) error
}

// usable are the states in which the kernel itself would use an entry.
const usable = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE

// readLink puts the interface's state into r.
func readLink(k kernel, r *reading) error {
	l, err := k.LinkByIndex(r.Ifindex)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		r.Gone = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read interface %d: %w", r.Ifindex, err)
	}
	state := l.Attrs().OperState
	r.LinkUp, r.LinkWhy = state == netlink.OperUp || state == netlink.OperUnknown, ""
	switch {
	case r.LinkUp:
	case l.Attrs().Flags&net.FlagUp == 0:
		r.LinkWhy = fmt.Sprintf("the interface is down (ip link set %s up)", l.Attrs().Name)
	default:
		r.LinkWhy = "no carrier"
	}
	if mac := l.Attrs().HardwareAddr; len(mac) == len(r.MAC) {
		r.MAC = [6]byte(mac)
	}
	return nil
}

// readNeighbours puts the MAC addresses that are known on the interface into r.
func readNeighbours(k kernel, r *reading) error {
	macs, permanent := map[netip.Addr][6]byte{}, map[netip.Addr]bool{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := k.NeighList(r.Ifindex, family)
		if err != nil {
			return fmt.Errorf("read neighbours of interface %d: %w", r.Ifindex, err)
		}
		for _, n := range list {
			a, ok := netip.AddrFromSlice(n.IP)
			if !ok {
				continue
			}
			a = a.Unmap()
			if n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 {
				permanent[a] = true
			}
			if n.State&usable != 0 && len(n.HardwareAddr) == 6 && [6]byte(n.HardwareAddr) != [6]byte{} {
				macs[a] = [6]byte(n.HardwareAddr)
			}
		}
	}
	r.macs, r.permanent = macs, permanent
	return nil
}

// readLocal puts the machine's own addresses into r.
func readLocal(k kernel, r *reading) error {
	list, err := k.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("read own addresses: %w", err)
	}
	var local []netip.Addr
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			local = append(local, ip.Unmap())
		}
	}
	slices.SortFunc(local, netip.Addr.Compare)
	r.Local = slices.Compact(local)
	return nil
}
