package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// AddBridge makes a bridge of this name with the host's [Interface] as its port, and
// moves the interface's addresses there, as hosts of virtual machines have it.
func (h *Host) AddBridge(name string) error {
	lower, err := h.link.LinkByName(Interface)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", Interface, h.Name, err)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}, MulticastSnooping: new(bool)}
	if err := h.link.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make bridge %s of %s: %w", name, h.Name, err)
	}
	if err := h.link.LinkSetMaster(lower, bridge); err != nil {
		return fmt.Errorf("make %s of %s a port of %s: %w", Interface, h.Name, name, err)
	}
	return h.moveAddrs(lower, name)
}

// AddPort makes one of the host's interfaces a port of a bridge or bond.
func (h *Host) AddPort(master, name string) error {
	upper, err := h.link.LinkByName(master)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", master, h.Name, err)
	}
	lower, err := h.link.LinkByName(name)
	if err == nil {
		err = h.link.LinkSetMaster(lower, upper)
	}
	if err != nil {
		return fmt.Errorf("make %s of %s a port of %s: %w", name, h.Name, master, err)
	}
	return nil
}

// AddMacvlan makes a macvlan of this name above the host's [Interface], and moves the
// interface's addresses there.
func (h *Host) AddMacvlan(name string) error {
	lower, err := h.link.LinkByName(Interface)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", Interface, h.Name, err)
	}
	upper := &netlink.Macvlan{LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: lower.Attrs().Index}, Mode: netlink.MACVLAN_MODE_BRIDGE}
	if err := h.link.LinkAdd(upper); err != nil {
		return fmt.Errorf("make macvlan %s of %s: %w", name, h.Name, err)
	}
	return h.moveAddrs(lower, name)
}

// AddVRRP makes a macvlan of this name, with a MAC address of its own, above the host's
// [Interface], as keepalived's use_vmac does.
func (h *Host) AddVRRP(name string, mac net.HardwareAddr) error {
	lower, err := h.link.LinkByName(Interface)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", Interface, h.Name, err)
	}
	upper := &netlink.Macvlan{
		LinkAttrs: netlink.LinkAttrs{Name: name, ParentIndex: lower.Attrs().Index, HardwareAddr: mac}, Mode: netlink.MACVLAN_MODE_PRIVATE,
	}
	if err := h.link.LinkAdd(upper); err != nil {
		return fmt.Errorf("make macvlan %s of %s: %w", name, h.Name, err)
	}
	return h.SetLink(name, true)
}

// moveAddrs moves the addresses of an interface to another one, which it sets up; what
// is link-local stays.
func (h *Host) moveAddrs(from netlink.Link, to string) error {
	list, err := h.link.AddrList(from, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list the addresses of %s of %s: %w", from.Attrs().Name, h.Name, err)
	}
	var moved []netip.Prefix
	for _, a := range list {
		ip, _ := netip.AddrFromSlice(a.IP)
		bits, _ := a.Mask.Size()
		if ip = ip.Unmap(); !ip.IsLinkLocalUnicast() {
			moved = append(moved, netip.PrefixFrom(ip, bits))
		}
	}
	if err := h.DelAddrs(from.Attrs().Name, moved...); err != nil {
		return err
	}
	if err := h.SetLink(to, true); err != nil {
		return err
	}
	return h.AddAddrs(to, moved...)
}
