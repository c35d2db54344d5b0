package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// tickPort is where b0 talks, by TCP and UDP, to whoever has knocked once.
const tickPort = 9100

// talk has b0 talk to its clients until the test ends: a few bytes at a time, whether or
// not anything comes back.
func (w *world) talk() {
	w.t.Helper()
	h := w.lab.Backends[0]
	l, err := h.Listen("tcp", fmt.Sprint(":", tickPort))
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := h.ListenPacket("udp", fmt.Sprint(":", tickPort))
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	tick := func(write func() error) {
		for ctx.Err() == nil && !errors.Is(write(), net.ErrClosed) { // a client that is away for a moment is no reason to end
			time.Sleep(50 * time.Millisecond)
		}
	}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				tick(func() error {
					if err := c.SetWriteDeadline(time.Now().Add(poll)); err != nil {
						return err
					}
					_, err := c.Write([]byte("tick"))
					return err
				})
			})
		}
	})
	all.Go(func() {
		b := make([]byte, 100)
		for {
			_, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			all.Go(func() {
				tick(func() error {
					_, err := u.WriteTo([]byte("tick"), from)
					return err
				})
			})
		}
	})
	w.t.Cleanup(func() {
		stop()
		l.Close()
		u.Close()
		all.Wait()
	})
}

// tickServices are the services of b0's talk, of both protocols and families.
func tickServices() (text string) {
	for _, c := range []struct {
		vip, backend netip.Addr
	}{{natVIP4, lab.BackendAddr(0)}, {natVIP6, lab.BackendAddr6(0)}} {
		for _, protocol := range []string{"tcp", "udp"} {
			text += fmt.Sprintf("  - {name: %s-%s, address: %q, port: %d, protocol: %s, health: {type: none}, backends: [{address: %q}]}\n",
				protocol, c.vip, c.vip, tickPort, protocol, c.backend)
		}
	}
	return text
}

// hearer is a client that only listens.
type hearer struct {
	what  string
	heard atomic.Int64
}

// listen has a client knock at all services of b0's talk, and listen from then on.
func (w *world) listen(h *lab.Host) (list []*hearer) {
	w.t.Helper()
	for _, protocol := range []string{"tcp", "udp"} {
		for _, vip := range []netip.Addr{natVIP4, natVIP6} {
			ctx, cancel := context.WithTimeout(w.t.Context(), patience)
			c, err := h.Dial(ctx, protocol, netip.AddrPortFrom(vip, tickPort).String())
			cancel()
			if err == nil && protocol == "udp" {
				_, err = c.Write([]byte("knock"))
			}
			if err != nil {
				w.t.Fatal(err)
			}
			one := &hearer{what: protocol + " to " + vip.String()}
			list = append(list, one)
			var ended sync.WaitGroup
			ended.Go(func() {
				for b := make([]byte, 1000); ; {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					one.heard.Add(int64(n))
				}
			})
			w.t.Cleanup(func() {
				c.Close()
				ended.Wait()
			})
		}
	}
	return list
}

// mustHear waits until every listener has heard something that was said since.
func (w *world) mustHear(when string, list []*hearer) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	before := make([]int64, len(list))
	for i, one := range list {
		before[i] = one.heard.Load()
	}
	for i, one := range list {
		for one.heard.Load() < before[i]+40 {
			if time.Now().After(deadline) {
				w.t.Fatalf("%s: %s hears nothing", when, one.what)
			}
			time.Sleep(poll)
		}
	}
}

// The routers' common address, and what is beyond them.
var (
	routerAddr4 = netip.MustParsePrefix("10.0.0.254/24")
	routerAddr6 = netip.MustParsePrefix("2001:db8:10::254/64")
	beyond4     = netip.MustParsePrefix("203.0.113.0/24")
	beyond6     = netip.MustParsePrefix("2001:db8:ff::/64")
)

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// route routes a network by way of a gateway and an interface of a host.
func (w *world) route(h *lab.Host, to netip.Prefix, by netip.Addr, name string) {
	w.t.Helper()
	link, err := h.Netlink().LinkByName(name)
	if err == nil {
		err = h.Netlink().RouteReplace(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(to), Gw: by.AsSlice()})
	}
	if err != nil {
		w.t.Fatalf("route %v on %s: %v", to, h.Name, err)
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
			router.Sysctl("net/ipv4/ip_forward", "1"), router.Sysctl("net/ipv6/conf/all/forwarding", "1"),
			router.AddAddrs("far", netip.MustParsePrefix("203.0.113.1/24"), netip.MustParsePrefix("2001:db8:ff::1/64")),
			far.AddAddrs(name, netip.MustParsePrefix("203.0.113.7/24"), netip.MustParsePrefix("2001:db8:ff::7/64")),
		)
		if err != nil {
			w.t.Fatal(err)
		}
		w.route(router, netip.MustParsePrefix("192.0.2.0/24"), netip.MustParseAddr("10.0.0.1"), lab.Interface)
		w.route(router, netip.MustParsePrefix("2001:db8:2::/64"), netip.MustParseAddr("2001:db8:10::1"), lab.Interface)
	}
	w.route(w.lab.Backends[0], beyond4, netip.MustParseAddr("10.0.0.1"), lab.Interface)
	w.route(w.lab.Backends[0], beyond6, netip.MustParseAddr("2001:db8:10::1"), lab.Interface)
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
	w.talk()
	far := w.farClient()
	w.by(far, 0)
	routers := w.lab.Backends[1:3]
	if err := routers[0].AddAddrs(lab.Interface, routerAddr4, routerAddr6); err != nil {
		t.Fatal(err)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", tickServices()))
	// Each router that becomes known makes a table.
	generation := p.await("serve", func(api.Status) bool { return true }).Generation
	for i, c := range []struct {
		to netip.Prefix
		by netip.Addr
	}{{beyond4, routerAddr4.Addr()}, {beyond6, routerAddr6.Addr()}} {
		w.route(w.lab.Balancer, c.to, c.by, lab.Interface)
		p.await("know the router", func(s api.Status) bool { return s.Generation > generation+uint64(i) })
	}
	list := w.listen(far)
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
	w.talk()
	c := w.lab.Clients[0]
	// As a backend of something its MAC address is seen to be known.
	known := fmt.Sprintf("  - {name: a, address: 192.0.2.30, port: 9, protocol: udp, backends: [{address: %s}]}\n", lab.ClientAddr(0)) +
		fmt.Sprintf("  - {name: b, address: \"2001:db8:2::30\", port: 9, protocol: udp, backends: [{address: %q}]}\n", lab.ClientAddr6(0))
	p := w.serve(w.writeConfig("afxlb.yaml", tickServices(), known))
	list := w.listen(c)
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
