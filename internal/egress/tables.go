package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// kernel is what is asked of the kernel: a *handle, but in tests.
type kernel interface {
	MTUs6() (map[int]int, error)
	LinkList() ([]netlink.Link, error)
	BridgeVlanList() (map[int32][]*nl.BridgeVlanInfo, error)
	AddrList(link netlink.Link, family int) ([]netlink.Addr, error)
	NeighList(index, family int) ([]netlink.Neigh, error)
	NeighSet(n *netlink.Neigh) error
	RouteGetWithOptions(to net.IP, o *netlink.RouteGetOptions) ([]netlink.Route, error)
	Nexthops(to netip.Addr) ([]*netlink.NexthopInfo, error)
	RouteListFilteredIter(family int, filter *netlink.Route, mask uint64, visit func(netlink.Route) bool) error
}

// usable are the states in which the kernel itself would use an entry.
const usable = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE

// readLinks puts the interfaces into r: the ports, and what is above them.
func readLinks(k kernel, r *reading) error {
	links, err := whole(k.LinkList)
	if err != nil {
		return fmt.Errorf("read interfaces: %w", err)
	}
	r.Ports, r.left = seat(r.Ports, r.Named, links)
	r.Ports = readPorts(r.Ports, links)
	r.LinkUp, r.LinkWhy = anyUp(r.Ports)
	t := newTree(links, r.Ports)
	t.fdb = r.tree.fdb
	var errs [2]error
	t.mtus6, errs[0] = k.MTUs6()
	t.vlans, errs[1] = t.readVLANs(k)
	r.tree, r.Bonds = t, t.bonds(r.Named, links)
	return errors.Join(errs[:]...)
}

// readNeighbours puts the MAC addresses into r that are known on the interfaces that lead
// to a port, and where bridges have these.
func readNeighbours(k kernel, r *reading) error {
	macs, permanent := map[Neighbour][6]byte{}, map[Neighbour]bool{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := k.NeighList(0, family)
		if err != nil {
			return fmt.Errorf("read neighbours: %w", err)
		}
		for _, n := range list {
			a, ok := netip.AddrFromSlice(n.IP)
			if !ok || !r.tree.leads[n.LinkIndex] {
				continue
			}
			at := Neighbour{n.LinkIndex, a.Unmap()}
			if n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 {
				permanent[at] = true
			}
			if n.State&usable != 0 && len(n.HardwareAddr) == 6 && [6]byte(n.HardwareAddr) != [6]byte{} {
				macs[at] = [6]byte(n.HardwareAddr)
			}
		}
	}
	r.macs, r.permanent = macs, permanent
	t := *r.tree
	var err error
	t.fdb, err = t.readFDB(k)
	r.tree = &t
	return err
}

// places returns where all are whose MAC addresses are known.
func (r *reading) places() map[Neighbour]Place {
	places := make(map[Neighbour]Place, len(r.macs))
	for n, mac := range r.macs {
		if e := r.tree.down(n.Device, mac); e.known {
			places[n] = Place{mac, e.link}
		}
	}
	return places
}

// readLocal puts the machine's own addresses into r.
func readLocal(k kernel, r *reading) error {
	list, err := whole(func() ([]netlink.Addr, error) { return k.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("read own addresses: %w", err)
	}
	var local []netip.Addr
	r.own = nil
	for i := range list {
		a := &list[i]
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			local = append(local, ip.Unmap())
			r.noteOwn(a, ip.Unmap())
		}
	}
	slices.SortFunc(local, netip.Addr.Compare)
	r.Local = slices.Compact(local)
	return nil
}
