package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
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

// SetLink sets an interface up or down, as an administrator would. The kernel takes the
// addresses of IPv6 and the routes from one that goes down, and gives the networks' own
// routes back (Documentation/networking/ip-sysctl.rst, keep_addr_on_down).
func (h *Host) SetLink(name string, up bool) error {
	if up {
		err := errors.Join(h.setUp(name), h.awaitCarrier(name))
		h.mu.Lock()
		far := h.cables[name]
		h.mu.Unlock()
		if err == nil && far.host != nil {
			_ = far.host.awaitCarrier(far.name) // it drops what comes till then; it may be another's by now
		}
		return err
	}
	link, err := h.link.LinkByName(name)
	if err == nil {
		err = h.link.LinkSetDown(link)
	}
	if err != nil {
		return fmt.Errorf("set down %s of %s: %w", name, h.Name, err)
	}
	return nil
}

// SetPort sets the switch's end of a host's cable up or down: the host sees its carrier
// come and go.
func (l *Lab) SetPort(h *Host, up bool) error {
	err := l.Switch.SetLink(port(h), up)
	if err == nil && up {
		err = h.awaitCarrier(Interface)
	}
	return err
}

// SetForwarding has the switch pass on what a host sends and gets, or not: then the
// host's link stays up, with nobody behind it.
func (l *Lab) SetForwarding(h *Host, on bool) error {
	end, err := l.Switch.link.LinkByName(port(h))
	if err != nil {
		return fmt.Errorf("find the port of %s: %w", h.Name, err)
	}
	if on {
		err = l.Switch.link.LinkSetMaster(end, l.fabric)
	} else {
		err = l.Switch.link.LinkSetNoMaster(end)
	}
	if err != nil {
		return fmt.Errorf("switch the port of %s: %w", h.Name, err)
	}
	return nil
}

// port is the name of the switch's end of a host's cable.
func port(h *Host) string { return "to-" + h.Name }

// plug connects a host to the switch. One that was connected before has the same MAC
// address as then, as a card that is plugged in again: the others know it by that.
func (l *Lab) plug(h *Host, queues int) error { return l.plugTo(l.fabric, h, queues) }

// plugTo is plug to one of the switch's bridges.
func (l *Lab) plugTo(bridge netlink.Link, h *Host, queues int) error {
	if err := connect(l.Switch, port(h), h, Interface, h.mac, queues, bridge.Attrs().Index); err != nil {
		return err
	}
	link, err := h.link.LinkByName(Interface)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", Interface, h.Name, err)
	}
	h.mac = link.Attrs().HardwareAddr
	return nil
}

// Connect connects two hosts by a cable: a veth whose ends have these names and so
// many queues in each direction. It is up when Connect returns.
func Connect(a *Host, nameA string, b *Host, nameB string, queues int) error {
	return connect(a, nameA, b, nameB, nil, queues, 0)
}

// connect makes a veth, whose end at a is a port of the master unless that is 0, and the
// other one has the MAC address, or any if that is nil. Both
// ends have as many queues as each other, as native XDP on veth wants it (veth_xdp_set
// in drivers/net/veth.c).
func connect(a *Host, nameA string, b *Host, nameB string, mac net.HardwareAddr, queues, master int) error {
	cable := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: nameA, NumTxQueues: queues, NumRxQueues: queues, MasterIndex: master},
		PeerName:  nameB, PeerNamespace: netlink.NsFd(b.ns), PeerHardwareAddr: mac,
		PeerNumTxQueues: uint32(queues), PeerNumRxQueues: uint32(queues),
	}
	if err := a.link.LinkAdd(cable); err != nil {
		return fmt.Errorf("connect %s to %s: %w", b.Name, a.Name, err)
	}
	a.lead(nameA, end{b, nameB})
	b.lead(nameB, end{a, nameA})
	return errors.Join(a.setUp(nameA), b.setUp(nameB), a.awaitCarrier(nameA), b.awaitCarrier(nameB))
}

// lead notes where the cable of an interface leads to.
func (h *Host) lead(name string, far end) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cables == nil {
		h.cables = map[string]end{}
	}
	h.cables[name] = far
}

// awaitCarrier returns when an interface that was set up passes packets on. The
// kernel gets there some time later, by a work queue (net/core/link_watch.c), and a
// bridge's port drops what comes before. To ask for the link's state is to have
// that done at once (ethtool_op_get_link in net/ethtool/ioctl.c).
func (h *Host) awaitCarrier(name string) error {
	return h.withTool(name, "ask for the link", func(tool *ethtool.Ethtool) error {
		up, err := tool.LinkState(name)
		if err == nil && up == 0 {
			err = errors.New("no carrier")
		}
		return err
	})
}

// noOffload has the kernel finish packets before they leave by an interface: segmented to
// the MTU, and with their checksums. A veth else passes on what the far end's stack left
// undone, and who takes packets by XDP sees them like that.
func (h *Host) noOffload(name string) error {
	off := map[string]bool{"tx-checksum-ip-generic": false, "tx-tcp-segmentation": false, "tx-tcp6-segmentation": false, "tx-tcp-ecn-segmentation": false, "tx-udp-segmentation": false}
	return h.withTool(name, "switch offloads off", func(tool *ethtool.Ethtool) error { return tool.Change(name, off) })
}

// onLink is the gateway of a network that needs none.
var onLink netip.Addr

// SetOffload has the switch finish the checksums of what it sends to a host, as is its way
// here, or not, as is the way of a veth: then who takes packets by XDP sees them unfinished.
func (l *Lab) SetOffload(h *Host, on bool) error {
	return l.Switch.SetFeature(port(h), "tx-checksum-ip-generic", on)
}

// Route routes a network by way of a gateway and one of the host's interfaces, instead of
// the way that it had.
func (h *Host) Route(to netip.Prefix, by netip.Addr, name string) error {
	return h.route(to, by, name, unix.RT_TABLE_MAIN)
}

// addRoute is Route by the host's Interface.
func (h *Host) addRoute(to netip.Prefix, by netip.Addr) error {
	return h.Route(to, by, Interface)
}

func (h *Host) route(to netip.Prefix, by netip.Addr, name string, table int) error {
	link, err := h.link.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", name, h.Name, err)
	}
	r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(to), Table: table}
	if by.IsValid() {
		r.Gw = by.AsSlice()
	} else {
		r.Scope = netlink.SCOPE_LINK
	}
	if err := h.link.RouteReplace(r); err != nil {
		return fmt.Errorf("route %s by %s of %s: %w", to, name, h.Name, err)
	}
	return nil
}

// RouteBy routes a network by way of several gateways of one of the host's interfaces at equal
// cost, instead of the way that it had.
func (h *Host) RouteBy(to netip.Prefix, name string, gateways ...netip.Addr) error {
	link, err := h.link.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", name, h.Name, err)
	}
	r := &netlink.Route{Dst: ipNet(to)}
	for _, a := range gateways {
		r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: link.Attrs().Index, Gw: a.AsSlice()})
	}
	if err := h.link.RouteReplace(r); err != nil {
		return fmt.Errorf("route %s by %v of %s: %w", to, gateways, h.Name, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
