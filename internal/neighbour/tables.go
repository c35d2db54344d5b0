package neighbour

import (
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// usable are the states in which the kernel itself would use an entry.
const usable = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE

// neighbours returns the MAC addresses that are known on the interface.
func (w *Watcher) neighbours() (map[netip.Addr][6]byte, error) {
	macs := map[netip.Addr][6]byte{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := w.link.NeighList(w.ifindex, family)
		if err != nil {
			return nil, err
		}
		for _, n := range list {
			a, ok := netip.AddrFromSlice(n.IP)
			if ok && n.State&usable != 0 && len(n.HardwareAddr) == 6 {
				macs[a.Unmap()] = [6]byte(n.HardwareAddr)
			}
		}
	}
	return macs, nil
}

// permanent returns the neighbours that the kernel never asks for.
func (w *Watcher) permanent() (map[netip.Addr]bool, error) {
	set := map[netip.Addr]bool{}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := w.link.NeighList(w.ifindex, family)
		if err != nil {
			return nil, err
		}
		for _, n := range list {
			if a, ok := netip.AddrFromSlice(n.IP); ok && n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) != 0 {
				set[a.Unmap()] = true
			}
		}
	}
	return set, nil
}

// route returns the next hop towards a, if it lies behind the interface.
func (w *Watcher) route(a netip.Addr) Hop {
	routes, err := w.link.RouteGet(a.AsSlice())
	if err != nil || len(routes) == 0 || routes[0].LinkIndex != w.ifindex || routes[0].Type != unix.RTN_UNICAST {
		return Hop{}
	}
	if via, ok := netip.AddrFromSlice(routes[0].Gw); ok && !via.Unmap().IsUnspecified() {
		return Hop{Via: via.Unmap()}
	}
	return Hop{Via: a, OnLink: true}
}

// localAddrs returns the machine's own addresses.
func (w *Watcher) localAddrs() ([]netip.Addr, error) {
	list, err := w.link.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	var local []netip.Addr
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			local = append(local, ip.Unmap())
		}
	}
	slices.SortFunc(local, netip.Addr.Compare)
	return slices.Compact(local), nil
}

// resolve asks the kernel for the next hops whose MAC address is missing, or for
// all of them: NTF_USE has it do what sending a packet would (neigh_add in
// net/core/neighbour.c). Entries that an administrator has made to last are left alone:
// since Linux 5.16 the question itself makes them ordinary ones, without an address if
// nobody answers (__neigh_update takes NUD_PERMANENT away from what is used).
func (w *Watcher) resolve(all bool) {
	s := w.Snapshot()
	if s.Gone || !s.LinkUp {
		return
	}
	done, err := w.permanent()
	if err != nil {
		w.log.Warn("read neighbours", zap.String("interface", w.name), zap.Error(err))
		return
	}
	for _, h := range s.Hops {
		if !h.Via.IsValid() || h.Known && !all || done[h.Via] {
			continue
		}
		done[h.Via] = true
		family := netlink.FAMILY_V4
		if h.Via.Is6() {
			family = netlink.FAMILY_V6
		}
		n := &netlink.Neigh{LinkIndex: w.ifindex, Family: family, Flags: netlink.NTF_USE, State: netlink.NUD_NONE, IP: h.Via.AsSlice()}
		if err := w.link.NeighSet(n); err != nil {
			w.log.Debug("ask for a neighbour", zap.Stringer("address", h.Via), zap.Error(err))
		}
	}
}
