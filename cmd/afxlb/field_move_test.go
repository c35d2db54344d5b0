package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// The routers' common address, and what is beyond them.
var (
	routerAddr4 = netip.MustParsePrefix("10.0.0.254/24")
	routerAddr6 = netip.MustParsePrefix("2001:db8:10::254/64")
	beyond4     = netip.MustParsePrefix("203.0.113.0/24")
	beyond6     = netip.MustParsePrefix("2001:db8:ff::/64")
)

// route routes a network by way of a gateway and an interface of a host.
func (w *world) route(h *lab.Host, to netip.Prefix, by netip.Addr, name string) {
	w.t.Helper()
	if err := h.Route(to, by, name); err != nil {
		w.t.Fatal(err)
	}
}

// farClient is a client behind two routers, which are the hosts of b1 and b2. Both know
// the ways; who has the routers' common address is a matter of the test.
func (w *world) farClient() *lab.Host {
	w.t.Helper()
	far, err := lab.NewHost("far")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = far.Close() })
	for i, router := range w.lab.Backends[1:3] {
		name := fmt.Sprint("r", i)
		err := errors.Join(
			lab.Connect(router, "far", far, name, 1),
			router.Forward(),
			router.AddAddrs("far", netip.MustParsePrefix("203.0.113.1/24"), netip.MustParsePrefix("2001:db8:ff::1/64")),
			far.AddAddrs(name, netip.MustParsePrefix("203.0.113.7/24"), netip.MustParsePrefix("2001:db8:ff::7/64")),
		)
		if err != nil {
			w.t.Fatal(err)
		}
		w.route(router, netip.MustParsePrefix("192.0.2.0/24"), own4, lab.Interface)
		w.route(router, netip.MustParsePrefix("2001:db8:2::/64"), own6, lab.Interface)
	}
	w.route(w.lab.Backends[0], beyond4, own4, lab.Interface)
	w.route(w.lab.Backends[0], beyond6, own6, lab.Interface)
	return far
}

// by has the far client send by one of the routers.
func (w *world) by(far *lab.Host, router int) {
	w.t.Helper()
	name := fmt.Sprint("r", router)
	w.route(far, netip.MustParsePrefix("192.0.2.0/24"), netip.MustParseAddr("203.0.113.1"), name)
	w.route(far, netip.MustParsePrefix("2001:db8:2::/64"), netip.MustParseAddr("2001:db8:ff::1"), name)
}

// C26: the router in front fails over while only the server talks. It tells the link by
// gratuitous ARP and by an unsolicited neighbour advertisement, and back again.
func TestFieldRouterFailsOver(t *testing.T) {
	w := newWorld(t)
	w.listenTicks()
	far := w.farClient()
	w.by(far, 0)
	routers := w.lab.Backends[1:3]
	if err := routers[0].AddAddrs(lab.Interface, routerAddr4, routerAddr6); err != nil {
		t.Fatal(err)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", tickServices()))
	// Each router that becomes known makes a table.
	generation := p.status().Generation
	for i, c := range []struct {
		to netip.Prefix
		by netip.Addr
	}{{beyond4, routerAddr4.Addr()}, {beyond6, routerAddr6.Addr()}} {
		w.route(w.lab.Balancer, c.to, c.by, lab.Interface)
		p.await("know the router", func(s api.Status) bool { return s.Generation > generation+uint64(i) })
	}
	list := w.hear(far, "tcp", "udp")
	w.mustHear("at first", list)
	for i, now := range []int{1, 0} {
		w.by(far, now)
		if err := errors.Join(
			w.lab.SetForwarding(routers[1-now], false),
			routers[1-now].DelAddrs(lab.Interface, routerAddr4, routerAddr6),
			w.lab.SetForwarding(routers[now], true),
			routers[now].AddAddrs(lab.Interface, routerAddr4, routerAddr6),
			routers[now].Announce(lab.Interface, routerAddr4.Addr()), routers[now].Announce(lab.Interface, routerAddr6.Addr()),
		); err != nil {
			t.Fatal(err)
		}
		w.mustHear(fmt.Sprint("after fail-over ", i+1), list)
	}
	if n := p.awaitLines(2, "replies follow who has moved on the link"); n < 2 {
		t.Errorf("told %d times", n)
	}
	p.stop()
}

// A client on the link gets another network card, and only the server talks.
func TestFieldClientsNetworkCard(t *testing.T) {
	w := newWorld(t)
	w.listenTicks()
	c := w.lab.Clients[0]
	// As a backend of something its MAC address is seen to be known.
	known := fmt.Sprintf("  - {name: a, address: 192.0.2.30, port: 9, protocol: udp, backends: [{address: %s}]}\n", lab.ClientAddr(0)) +
		fmt.Sprintf("  - {name: b, address: \"2001:db8:2::30\", port: 9, protocol: udp, backends: [{address: %q}]}\n", lab.ClientAddr6(0))
	p := w.serve(w.writeConfig("afxlb.yaml", tickServices(), known))
	list := w.hear(c, "tcp", "udp")
	w.mustHear("at first", list)
	if err := c.SetMAC(lab.Interface, net.HardwareAddr{2, 0, 0, 0, 0x77, 1}); err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Addr{lab.ClientAddr(0), lab.ClientAddr6(0)} {
		if err := c.Announce(lab.Interface, a); err != nil {
			t.Fatal(err)
		}
	}
	w.mustHear("with another network card", list)
	p.stop()
}

// The balancer's own card is another one: what is sent has its address at once, and with
// the setting that the log names its neighbours know it, too.
func TestFieldBalancersNetworkCard(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	h := w.lab.Balancer
	if err := errors.Join(h.Sysctl("net/ipv4/conf/"+lab.Interface+"/arp_notify", "1"), h.Sysctl("net/ipv6/conf/"+lab.Interface+"/ndisc_notify", "1")); err != nil {
		t.Fatal(err)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("streams", natVIP4, "nat", quickHealth),
		service("web", natVIP4, "nat", "tcp", quickHealth), service("web6", natVIP6, "nat", "tcp", quickHealth), service("direct", dsrVIP4, "dsr", "tcp", quickHealth)))
	s := w.openStreams(4, natVIP4)
	mac := net.HardwareAddr{2, 0xaf, 0, 0, 0, 9}
	if err := h.SetMAC(lab.Interface, mac); err != nil {
		t.Fatal(err)
	}
	p.awaitLines(1, "WARN.*the interface has another MAC address.*arp_notify.*is "+mac.String())
	s.mustLive("with another card")
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4} {
		w.mustAnswer(5, vip)
	}
	p.await("stay as it was", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == s.Backends.Total })
	if n := p.lines("backend is (down|unreachable)"); n != 0 {
		t.Errorf("%d backends went", n)
	}
	p.stop()
}
