package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Options size the standard topology. Zero counts mean one; there are 200 clients
// and 200 backends at most.
type Options struct {
	Clients  int
	Backends int
	Queues   int          // RX and TX queues of the balancer's interface
	Inner    int          // of a second one, by which its backends are; 0: there is none
	VIPs     []netip.Addr // that the backends hold on their loopback, for dsr
	External bool         // the balancer is no host of the lab's: it comes by AddTap
}

// Lab is the standard topology. See the package comment.
type Lab struct {
	Switch, Balancer  *Host // no Balancer with Options.External
	Clients, Backends []*Host
	Far               *Host // nil without AddFar
	Second            *Host // nil without AddSecond

	fabric   netlink.Link     // the bridge
	inner    netlink.Link     // the backends', if they are not on that; else the same
	innerMAC net.HardwareAddr // of the balancer's Inner, once it was plugged in
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
	gateway  = 1  // the balancer's host number in each network
	firstEnd = 11 // of the first client and the first backend
	maxEnds  = 200
)

// ClientAddr returns the IPv4 address of client i.
func ClientAddr(i int) netip.Addr { return nth(clients4, firstEnd+i) }

// ClientAddr6 returns the IPv6 address of client i.
func ClientAddr6(i int) netip.Addr { return nth(clients6, firstEnd+i) }

// BackendAddr returns the IPv4 address of backend i.
func BackendAddr(i int) netip.Addr { return nth(backends4, firstEnd+i) }

// BackendAddr6 returns the IPv6 address of backend i.
func BackendAddr6(i int) netip.Addr { return nth(backends6, firstEnd+i) }

// BalancerAddr returns the balancer's own IPv4 address in the clients' network.
func BalancerAddr() netip.Addr { return nth(clients4, gateway) }

// nth returns host n of a network, n < 256: with the same digits in 10.0.0.11 and
// in 2001:db8:10::11.
func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Addr().AsSlice()
	if p.Addr().Is6() {
		n = n/100<<8 | n/10%10<<4 | n%10
		b[len(b)-2] = byte(n >> 8)
	}
	b[len(b)-1] = byte(n)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// in is host n of a network with the network's mask, as an interface has it.
func in(p netip.Prefix, n int) netip.Prefix { return netip.PrefixFrom(nth(p, n), p.Bits()) }

// inBoth is host n of the clients' network and of the backends', by IPv4 and by IPv6.
func inBoth(n int) (own []netip.Prefix) {
	for _, net := range []netip.Prefix{clients4, clients6, backends4, backends6} {
		own = append(own, in(net, n))
	}
	return own
}

// New builds the standard topology. On an error nothing is left behind.
func New(o Options) (l *Lab, err error) {
	if o.Clients > maxEnds || o.Backends > maxEnds {
		return nil, fmt.Errorf("build the lab: %d clients and %d backends wanted, of each %d is the most", o.Clients, o.Backends, maxEnds)
	}
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
	if l.fabric, err = l.addBridge("fabric"); err != nil {
		return l, err
	}
	l.inner = l.fabric
	if o.Inner > 0 {
		if l.inner, err = l.addBridge("inner"); err != nil {
			return l, err
		}
	}
	if !o.External {
		if err := l.addBalancer(max(o.Queues, 1), o.Inner); err != nil {
			return l, err
		}
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

func (l *Lab) addBridge(name string) (netlink.Link, error) {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}, MulticastSnooping: new(bool)}
	if err := l.Switch.link.LinkAdd(bridge); err != nil {
		return nil, fmt.Errorf("make the bridge %s: %w", name, err)
	}
	return bridge, l.Switch.setUp(name)
}

// Close takes everything down.
func (l *Lab) Close() error {
	var errs []error
	for _, h := range append(append([]*Host{l.Balancer, l.Second, l.Far}, l.Clients...), append(l.Backends, l.Switch)...) {
		if h != nil {
			errs = append(errs, h.Close())
		}
	}
	return errors.Join(errs...)
}

func (l *Lab) addBalancer(queues, inner int) error {
	h, err := NewHost("balancer")
	if err != nil {
		return err
	}
	l.Balancer = h
	if inner > 0 {
		if err := l.PlugInner(inner); err != nil {
			return err
		}
	}
	return l.PlugBalancer(queues)
}

// PlugBalancer gives the balancer its interface, at the start and after a test
// has removed it.
func (l *Lab) PlugBalancer(queues int) error {
	if err := l.plug(l.Balancer, queues); err != nil {
		return err
	}
	own := BalancerPrefixes()
	if l.split() {
		own = []netip.Prefix{in(clients4, gateway), in(clients6, gateway)}
	}
	if err := l.Balancer.AddAddrs(Interface, own...); err != nil {
		return err
	}
	return l.Switch.noOffload(port(l.Balancer))
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
	if err := h.AddAddrs(Interface, in(clients4, firstEnd+i), in(clients6, firstEnd+i)); err != nil {
		return err
	}
	// The backends are on the link, so that the kernel answers their ARP, for dsr.
	return errors.Join(
		h.addRoute(vips4, nth(clients4, gateway)), h.addRoute(vips6, nth(clients6, gateway)),
		h.addRoute(backends4, l.between(clients4)), h.addRoute(backends6, l.between(clients6)),
	)
}

func (l *Lab) addBackend(i int, vips []netip.Addr) error {
	h, err := NewHost(fmt.Sprint("backend", i))
	if err != nil {
		return err
	}
	l.Backends = append(l.Backends, h)
	// Before the interface comes up: a backend must not answer ARP for the VIPs.
	err = errors.Join(h.Sysctl("net/ipv4/conf/all/arp_ignore", "1"), h.Sysctl("net/ipv4/conf/all/arp_announce", "2"))
	if err != nil {
		return err
	}
	if err := l.plugTo(l.inner, h, 1); err != nil {
		return err
	}
	if err := h.AddAddrs(Interface, in(backends4, firstEnd+i), in(backends6, firstEnd+i)); err != nil {
		return err
	}
	var held []netip.Prefix
	for _, a := range vips {
		held = append(held, netip.PrefixFrom(a, a.BitLen()))
	}
	if err := h.AddAddrs("lo", held...); err != nil {
		return err
	}
	return errors.Join(
		h.addRoute(clients4, nth(backends4, gateway)), h.addRoute(clients6, nth(backends6, gateway)),
		answerDirectly(h, vips4, clients4, l.between(backends4)), answerDirectly(h, vips6, clients6, l.between(backends6)),
	)
}

// answerDirectly has a backend send what comes from a service's address straight to
// the clients, or by way of the router that is between, as dsr wants it; its own address's
// packets go by the balancer.
func answerDirectly(h *Host, vips, clients netip.Prefix, by netip.Addr) error {
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
	return h.route(clients, by, Interface, table)
}
