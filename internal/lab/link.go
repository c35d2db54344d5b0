package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// setUp sets an interface up.
func (h *Host) setUp(name string) error {
	link, err := h.link.LinkByName(name)
	if err == nil {
		err = h.link.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("set up %s of %s: %w", name, h.Name, err)
	}
	return nil
}

// port is the name of the switch's end of a host's cable.
func port(h *Host) string { return "to-" + h.Name }

// plug connects a host to the switch.
func (l *Lab) plug(h *Host, queues int) error {
	return connect(l.Switch, port(h), h, Interface, queues, l.fabric.Attrs().Index)
}

// Connect connects two hosts by a cable: a veth whose ends have these names and so
// many queues in each direction. It is up when Connect returns.
func Connect(a *Host, nameA string, b *Host, nameB string, queues int) error {
	return connect(a, nameA, b, nameB, queues, 0)
}

// connect makes a veth, whose end at a is a port of the master unless that is 0. Both
// ends have as many queues as each other, as native XDP on veth wants it (veth_xdp_set
// in drivers/net/veth.c).
func connect(a *Host, nameA string, b *Host, nameB string, queues, master int) error {
	cable := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: nameA, NumTxQueues: queues, NumRxQueues: queues, MasterIndex: master},
		PeerName:  nameB, PeerNamespace: netlink.NsFd(b.ns),
		PeerNumTxQueues: uint32(queues), PeerNumRxQueues: uint32(queues),
	}
	if err := a.link.LinkAdd(cable); err != nil {
		return fmt.Errorf("connect %s to %s: %w", b.Name, a.Name, err)
	}
	return errors.Join(a.setUp(nameA), b.setUp(nameB), a.awaitCarrier(nameA), b.awaitCarrier(nameB))
}

// awaitCarrier returns when an interface that was set up passes packets on. The
// kernel gets there some time later, by a work queue (net/core/link_watch.c), and a
// bridge's port drops what comes before. To ask for the link's state is to have
// that done at once (ethtool_op_get_link in net/ethtool/ioctl.c).
func (h *Host) awaitCarrier(name string) error {
	return h.Do(func() error {
		tool, err := ethtool.NewEthtool()
		if err != nil {
			return fmt.Errorf("ask for the link of %s of %s: %w", name, h.Name, err)
		}
		defer tool.Close()
		up, err := tool.LinkState(name)
		if err == nil && up == 0 {
			err = errors.New("no carrier")
		}
		if err != nil {
			return fmt.Errorf("ask for the link of %s of %s: %w", name, h.Name, err)
		}
		return nil
	})
}

// noOffload has the kernel finish packets before they leave by an interface of this
// thread's namespace: segmented to the MTU, and with their checksums. A veth else
// passes on what the far end's stack left undone, and who takes packets by XDP sees
// them like that.
func noOffload(name string) error {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return fmt.Errorf("switch offloads of %s off: %w", name, err)
	}
	defer tool.Close()
	off := map[string]bool{"tx-checksum-ip-generic": false, "tx-tcp-segmentation": false, "tx-tcp6-segmentation": false, "tx-tcp-ecn-segmentation": false, "tx-udp-segmentation": false}
	if err := tool.Change(name, off); err != nil {
		return fmt.Errorf("switch offloads of %s off: %w", name, err)
	}
	return nil
}

// addAddrs adds addresses of the networks, usable when it returns.
func (h *Host) addAddrs(name string, addrs ...netip.Prefix) error {
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

// awaitLocal returns when the host takes packets to one of its addresses in. For
// IPv6 the kernel gets there by a work queue, some time after it has added the
// address: only then it joins the group that neighbours ask, and adds the local
// route (addrconf_dad_work in net/ipv6/addrconf.c).
func (h *Host) awaitLocal(a netip.Addr) error {
	var routes *nl.NetlinkSocket
	err := h.Do(func() (err error) {
		routes, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE)
		return err
	})
	if err != nil {
		return err
	}
	defer routes.Close()
	const patience = 30 // s: the queue is one for all namespaces, and those that go use it too
	if err := routes.SetReceiveTimeout(&unix.Timeval{Sec: patience}); err != nil {
		return err
	}
	for {
		found, err := h.link.RouteGet(a.AsSlice())
		if err == nil && len(found) > 0 && found[0].Type == unix.RTN_LOCAL {
			return nil
		}
		switch _, _, err := routes.Receive(); {
		case errors.Is(err, unix.EAGAIN):
			return fmt.Errorf("it has no local route after %d s", patience)
		case err != nil:
			return err
		}
	}
}

// onLink is the gateway of a network that needs none.
var onLink netip.Addr

// addRoute routes a network by way of a gateway.
func (h *Host) addRoute(to netip.Prefix, by netip.Addr) error {
	return h.addRouteTo(to, by, unix.RT_TABLE_MAIN)
}

func (h *Host) addRouteTo(to netip.Prefix, by netip.Addr, table int) error {
	link, err := h.link.LinkByName(Interface)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", Interface, h.Name, err)
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(to), Table: table}
	if by.IsValid() {
		r.Gw = by.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	if err := h.link.RouteAdd(r); err != nil {
		return fmt.Errorf("route %s on %s: %w", to, h.Name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
