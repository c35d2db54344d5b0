package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// AddAddrs adds addresses, each with its network's mask, to an interface. They are
// usable when it returns.
func (h *Host) AddAddrs(name string, addrs ...netip.Prefix) error {
	link, err := h.link.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", name, h.Name, err)
	}
	for _, p := range addrs {
		addr := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.link.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %s to %s of %s: %w", p, name, h.Name, err)
		}
	}
	for _, p := range addrs {
		if err := h.awaitLocal(p.Addr()); err != nil {
			return fmt.Errorf("await %s on %s of %s: %w", p, name, h.Name, err)
		}
	}
	return nil
}

// DelAddrs takes addresses from an interface, such as a service's from the loopback of
// a backend.
func (h *Host) DelAddrs(name string, addrs ...netip.Prefix) error {
	link, err := h.link.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", name, h.Name, err)
	}
	for _, p := range addrs {
		if err := h.link.AddrDel(link, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
			return fmt.Errorf("take %s from %s of %s: %w", p, name, h.Name, err)
		}
	}
	return nil
}

// patience bounds how long an address may take: the kernel's work queue is one for all
// namespaces, and those that go use it too.
const patience = 30 * time.Second

// awaitLocal returns when the host takes packets to one of its addresses in. For
// IPv6 the kernel gets there by a work queue, some time after it has added the
// address: only then it joins the group that neighbours ask, and adds the local
// route (addrconf_dad_work in net/ipv6/addrconf.c). It announces that route before a
// look-up finds it (fib6_add_rt2node in net/ipv6/ip6_fib.c calls inet6_rt_notify
// before it sets RTN_RTINFO), so to ask at the announcement is to ask too early.
func (h *Host) awaitLocal(a netip.Addr) error {
	return poll(patience, func() error {
		found, err := h.link.RouteGet(a.AsSlice())
		switch {
		case err != nil:
			return fmt.Errorf("look its route up: %w", err)
		case len(found) == 0:
			return errors.New("it has no route")
		case found[0].Type != unix.RTN_LOCAL:
			return fmt.Errorf("its route is not local: %v", found[0])
		}
		return nil
	})
}

// poll tries each millisecond until there is no error, or for so long: then it returns
// the last one.
func poll(patience time.Duration, try func() error) error {
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		err := try()
		if err == nil {
			return nil
		}
		if !time.Now().Before(end) {
			return fmt.Errorf("still not after %v: %w", patience, err)
		}
	}
}
