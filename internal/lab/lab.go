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

// Options size the standard topology. Zero counts mean one.
type Options struct {
	Clients  int
	Backends int
	Queues   int          // RX and TX queues of the balancer's interface
	VIPs     []netip.Addr // that the backends hold on their loopback, for dsr
}

// Lab is the standard topology. See the package comment.
type Lab struct {
	Switch, Balancer  *Host
	Clients, Backends []*Host

	fabric netlink.Link // the bridge
}

// Interface is the name of every host's interface.
const Interface = "eth0"

// The networks.
var (
	clients4  = netip.MustParsePrefix("198.51.100.0/24")
	clients6  = netip.MustParsePrefix("2001:db8:100::/64")
	backends4 = netip.MustParsePrefix("10.0.0.0/24")
	backends6 = netip.MustParsePrefix("2001:db8:10::/64")
	vips4     = netip.MustParsePrefix("192.0.2.0/24")
	vips6     = netip.MustParsePrefix("2001:db8:2::/64")
)

const (
	gateway  = 1    // the balancer's host number in each network
	firstEnd = 0x11 // of the first client and the first backend
)

// ClientAddr returns the address of client i, ClientAddr6 its IPv6 address.
func ClientAddr(i int) netip.Addr { return nth(clients4, firstEnd+i) }

// ClientAddr6 returns the IPv6 address of client i.
func ClientAddr6(i int) netip.Addr { return nth(clients6, firstEnd+i) }

// BackendAddr returns the address of backend i.
func BackendAddr(i int) netip.Addr { return nth(backends4, firstEnd+i) }

// BackendAddr6 returns the IPv6 address of backend i.
func BackendAddr6(i int) netip.Addr { return nth(backends6, firstEnd+i) }

// BalancerAddr returns the balancer's own address in the clients' network.
func BalancerAddr() netip.Addr { return nth(clients4, gateway) }

// nth returns host n of a network.
func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Addr().AsSlice()
	b[len(b)-2] |= byte(n >> 8)
	b[len(b)-1] = byte(n)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// New builds the standard topology. On an error nothing is left behind.
func New(o Options) (l *Lab, err error) {
	l = &Lab{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("build the lab: %w", err), l.Close())
			l = nil
		}
	}()
	if l.Switch, err = NewHost("switch"); err != nil {
		return l, err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "fabric"}, MulticastSnooping: new(bool)}
	if err := l.Switch.link.LinkAdd(bridge); err != nil {
		return l, fmt.Errorf("make the bridge: %w", err)
	}
	if err := l.Switch.setUp(bridge.Name); err != nil {
		return l, err
	}
	l.fabric = bridge
	if err := l.addBalancer(max(o.Queues, 1)); err != nil {
		return l, err
	}
	for i := range max(o.Clients, 1) {
		if err := l.addClient(i); err != nil {
			return l, err
		}
	}
	for i := range max(o.Backends, 1) {
		if err := l.addBackend(i, o.VIPs); err != nil {
			return l, err
		}
	}
	return l, nil
}

// Close takes everything down.
func (l *Lab) Close() error {
	var errs []error
	for _, h := range append(append([]*Host{l.Balancer}, l.Clients...), append(l.Backends, l.Switch)...) {
		if h != nil {
			errs = append(errs, h.Close())
		}
	}
	return errors.Join(errs...)
}

func (l *Lab) addBalancer(queues int) error {
	h, err := NewHost("balancer")
	if err != nil {
		return err
	}
	l.Balancer = h
	if err := l.PlugBalancer(queues); err != nil {
		return err
	}
	// A packet that leaks past the XDP program must be noticed, not forwarded.
	return errors.Join(h.Sysctl("net/ipv4/ip_forward", "0"), h.Sysctl("net/ipv6/conf/all/forwarding", "0"))
}

// PlugBalancer gives the balancer its interface, at the start and after a test
// has removed it.
func (l *Lab) PlugBalancer(queues int) error {
	if err := l.plug(l.Balancer, queues); err != nil {
		return err
	}
	if err := addAddrs(l.Balancer, Interface, nth(clients4, gateway), nth(clients6, gateway), nth(backends4, gateway), nth(backends6, gateway)); err != nil {
		return err
	}
	return l.Switch.Do(func() error { return noOffload(port(l.Balancer)) })
}

func (l *Lab) addClient(i int) error {
	h, err := NewHost(fmt.Sprint("client", i))
	if err != nil {
		return err
	}
	l.Clients = append(l.Clients, h)
	if err := l.plug(h, 1); err != nil {
		return err
	}
	if err := addAddrs(h, Interface, ClientAddr(i), ClientAddr6(i)); err != nil {
		return err
	}
	// The backends are on the link, so that the kernel answers their ARP, for dsr.
	return errors.Join(
		addRoute(h, vips4, nth(clients4, gateway)), addRoute(h, vips6, nth(clients6, gateway)),
		addRoute(h, backends4, onLink), addRoute(h, backends6, onLink),
	)
}

func (l *Lab) addBackend(i int, vips []netip.Addr) error {
	h, err := NewHost(fmt.Sprint("backend", i))
	if err != nil {
		return err
	}
	l.Backends = append(l.Backends, h)
	// Before the interface comes up: a backend must not answer ARP for the VIPs.
	for name, value := range map[string]string{
		"net/ipv4/conf/all/arp_ignore": "1", "net/ipv4/conf/all/arp_announce": "2",
		"net/ipv4/conf/all/rp_filter": "0", "net/ipv4/conf/default/rp_filter": "0",
	} {
		if err := h.Sysctl(name, value); err != nil {
			return err
		}
	}
	if err := l.plug(h, 1); err != nil {
		return err
	}
	if err := addAddrs(h, Interface, BackendAddr(i), BackendAddr6(i)); err != nil {
		return err
	}
	for _, a := range vips {
		if err := addAddr(h, "lo", netip.PrefixFrom(a, a.BitLen())); err != nil {
			return err
		}
	}
	return errors.Join(
		addRoute(h, clients4, nth(backends4, gateway)), addRoute(h, clients6, nth(backends6, gateway)),
		answerDirectly(h, vips4, clients4), answerDirectly(h, vips6, clients6),
	)
}

// answerDirectly has a backend send what comes from a service's address straight to
// the clients, as dsr wants it; its own address's packets go by the balancer.
func answerDirectly(h *Host, vips, clients netip.Prefix) error {
	const table = 100
	rule := netlink.NewRule()
	rule.Src, rule.Table = ipNet(vips), table
	rule.Family = unix.AF_INET
	if vips.Addr().Is6() {
		rule.Family = unix.AF_INET6
	}
	if err := h.link.RuleAdd(rule); err != nil {
		return fmt.Errorf("add the rule for %s on %s: %w", vips, h.Name, err)
	}
	return addRouteTo(h, clients, onLink, table)
}

// port is the name of the switch's end of a host's cable.
func port(h *Host) string { return "to-" + h.Name }

// plug connects a host to the switch. Both ends have as many queues as each other,
// as native XDP on veth wants it (veth_xdp_set in drivers/net/veth.c).
func (l *Lab) plug(h *Host, queues int) error {
	cable := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{
			Name: port(h), NumTxQueues: queues, NumRxQueues: queues, MasterIndex: l.fabric.Attrs().Index,
		},
		PeerName: Interface, PeerNamespace: netlink.NsFd(h.ns),
		PeerNumTxQueues: uint32(queues), PeerNumRxQueues: uint32(queues),
	}
	if err := l.Switch.link.LinkAdd(cable); err != nil {
		return fmt.Errorf("connect %s: %w", h.Name, err)
	}
	return errors.Join(l.Switch.setUp(port(h)), h.setUp(Interface))
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

func addAddrs(h *Host, link string, addrs ...netip.Addr) error {
	for _, a := range addrs {
		bits := 24
		if a.Is6() {
			bits = 64
		}
		if err := addAddr(h, link, netip.PrefixFrom(a, bits)); err != nil {
			return err
		}
	}
	return nil
}

// addAddr adds an address that is usable at once.
func addAddr(h *Host, name string, p netip.Prefix) error {
	link, err := h.link.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s of %s: %w", name, h.Name, err)
	}
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := h.link.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("add %s to %s of %s: %w", p, name, h.Name, err)
	}
	return nil
}

// onLink is the gateway of a network that needs none.
var onLink netip.Addr

// addRoute routes a network by way of a gateway.
func addRoute(h *Host, to netip.Prefix, by netip.Addr) error {
	return addRouteTo(h, to, by, unix.RT_TABLE_MAIN)
}

func addRouteTo(h *Host, to netip.Prefix, by netip.Addr, table int) error {
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
