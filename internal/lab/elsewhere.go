package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// MoveAwayAndBack moves an interface to another host and back at once, with its addresses. For
// the kernel it was unregistered meanwhile, and yet it has the same index as before, if the
// other host has none like it (__dev_change_net_namespace in net/core/dev.c).
func (h *Host) MoveAwayAndBack(name string, by *Host) error {
	link, err := h.link.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", name, h.Name, err)
	}
	list, err := h.link.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", name, err)
	}
	if err := h.link.LinkSetNsFd(link, int(by.ns)); err != nil {
		return fmt.Errorf("move %s to %s: %w", name, by.Name, err)
	}
	there, err := by.link.LinkByName(name)
	if err == nil {
		err = by.link.LinkSetNsFd(there, int(h.ns))
	}
	if err == nil {
		err = h.setUp(name)
	}
	if err == nil {
		err = h.awaitCarrier(name)
	}
	if err != nil {
		return fmt.Errorf("move %s back to %s: %w", name, h.Name, err)
	}
	return h.AddAddrs(name, global(list)...)
}

// global returns those of addresses that an interface does not have by itself.
func global(list []netlink.Addr) (own []netip.Prefix) {
	for _, a := range list {
		if a.IP.IsLinkLocalUnicast() {
			continue
		}
		if p, err := netip.ParsePrefix((&net.IPNet{IP: a.IP, Mask: a.Mask}).String()); err == nil {
			own = append(own, p)
		}
	}
	return own
}
