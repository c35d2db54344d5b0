package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// The tests of a balancer with several interfaces: clients are on eth0, backends on eth1.

// writePorts writes a config file that names both interfaces.
func (w *world) writePorts(services ...string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, "ports.yaml")
	if err := os.WriteFile(path, []byte(onPorts(services...)), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// onPorts is a config of services on both interfaces.
func onPorts(services ...string) string {
	return fmt.Sprintf("interfaces: [%s, %s]\nservices:\n%s", lab.Interface, lab.Inner, strings.Join(services, ""))
}

// deletePort takes one of the balancer's interfaces away.
func (w *world) deletePort(name string) {
	w.t.Helper()
	links := w.lab.Balancer.Netlink()
	link, err := links.LinkByName(name)
	if err == nil {
		err = links.LinkDel(link)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// returnPort gives it back.
func (w *world) returnPort(name string, queues int) {
	w.t.Helper()
	plug := w.lab.PlugInner
	if name == lab.Interface {
		plug = w.lab.PlugBalancer
	}
	if err := plug(queues); err != nil {
		w.t.Fatal(err)
	}
}

// portOf returns what is said of an interface.
func portOf(s *api.Status, name string) api.Port {
	for _, p := range s.Ports {
		if p.Name == name {
			return p
		}
	}
	return api.Port{}
}

// awaitCounts waits until each port has sent something and received something, and returns
// the state of both.
func (p *process) awaitCounts() (outer, inner api.Port) {
	p.t.Helper()
	p.await("count by port", func(s api.Status) bool {
		outer, inner = portOf(&s, lab.Interface), portOf(&s, lab.Inner)
		return outer.Received > 0 && inner.Received > 0 && outer.Sent > 0 && inner.Sent > 0
	})
	return outer, inner
}

// vipsAcross are services' addresses of all modes, and of the families that these take: that
// of the clients, and if it is another one that of the backends.
var vipsAcross = map[string]netip.Addr{
	"nat4": natVIP4, "nat6": natVIP6, "dsr4": dsrVIP4, "dsr6": dsrVIP6, "fullnat4": fullVIP4, "fullnat6": fullVIP6,
	"fullnat46": netip.MustParseAddr("192.0.2.46"), "fullnat64": netip.MustParseAddr("2001:db8:2::64"),
	"ipip4": netip.MustParseAddr("192.0.2.50"), "ipip46": netip.MustParseAddr("192.0.2.51"),
	"ipip6": netip.MustParseAddr("2001:db8:2::50"), "ipip64": netip.MustParseAddr("2001:db8:2::51"),
	"gue4": netip.MustParseAddr("192.0.2.52"), "gue46": netip.MustParseAddr("192.0.2.53"),
	"gue6": netip.MustParseAddr("2001:db8:2::52"), "gue64": netip.MustParseAddr("2001:db8:2::53"),
	"gre4": netip.MustParseAddr("192.0.2.54"), "gre46": netip.MustParseAddr("192.0.2.55"),
	"gre6": netip.MustParseAddr("2001:db8:2::54"), "gre64": netip.MustParseAddr("2001:db8:2::55"),
}

// isTunnel reports whether packets of a service of vipsAcross go in tunnels.
func isTunnel(name string) bool {
	return strings.HasPrefix(name, "ipip") || strings.HasPrefix(name, "g")
}

// tunnelsAcross are those of them.
func tunnelsAcross() (list []tunnelled) {
	for name, vip := range vipsAcross {
		if isTunnel(name) {
			list = append(list, tunnelled{vip: vip})
		}
	}
	return list
}

// servicesAcross are services at the web servers' port and at a port where nobody listens.
func servicesAcross() (list []string) {
	for name, vip := range vipsAcross {
		mode := strings.TrimRight(name, "46")
		of := vip // family
		switch strings.TrimPrefix(name, mode) {
		case "46":
			of = natVIP6
		case "64":
			of = natVIP4
		}
		keys := "mode: " + mode + ", "
		if mode == "fullnat" {
			keys = snatKeys(ownSource(of))
		}
		udp := "protocol: udp, health: {type: none}, " + keys
		list = append(list, entry(name, vip, port, keys+quickHealth, backendsOf(of)...), entry(name+"u", vip, port, udp, backendsOf(of)...),
			entry(name+"-closed", vip, closedPort, udp, backendsOf(of)[0]))
	}
	return list
}

const closedPort = 9

// Clients on one interface, backends on the other: all modes, both families, TCP, UDP,
// fragments and ICMP errors, with as many queues on each or fewer, without a copy; and with
// the driver that can't share frames by a copy that is counted and told.
func TestFieldTwoInterfaces(t *testing.T) {
	for _, c := range []struct {
		inner  int
		driver string
	}{{queues, "native"}, {1, "native"}, {queues + 1, "native"}, {queues, "asavie"}} {
		t.Run(fmt.Sprint(c.inner, " queues, ", c.driver), func(t *testing.T) {
			w := newWorldOf(t, c.inner)
			w.forward(w.lab.Balancer) // dsr's answers are the kernel's to route
			w.listenDatagrams()
			w.decapsulate(tunnelsAcross())
			for _, limit := range []string{"net/ipv4/icmp_ratelimit", "net/ipv6/icmp/ratelimit"} { // b0 refuses one client often
				if err := w.lab.Backends[0].Sysctl(limit, "0"); err != nil {
					t.Fatal(err)
				}
			}
			config := w.writePorts(servicesAcross()...)
			_ = w.lab.Balancer.Do(func() error {
				if code, _, stderr := cli("check", "--here", config); code != 0 {
					t.Errorf("check --here: exit code %d, %q", code, stderr)
				}
				return nil
			})
			p := w.serve(config, "--driver", c.driver)
			for name, vip := range vipsAcross {
				before := w.decapsulated()
				if by := w.mustAnswer(12, vip); len(by) != 3 {
					t.Errorf("%s is answered by %v", name, by)
				}
				w.askUDP(vip)
				if n := w.decapsulated() - before; (n >= 12*3+1) != isTunnel(name) {
					t.Errorf("%s: %d packets came out of tunnels", name, n)
				}
				client, to := w.lab.Clients[0], netip.AddrPortFrom(vip, port)
				from := netip.IPv4Unspecified()
				if vip.Is6() {
					from = netip.IPv6Unspecified()
				}
				if isTunnel(name) {
					w.askAtLength(&tunnelled{name: name, vip: vip})
				} else if _, err := w.askUnconnected(client, from, to, 5000); err != nil { // in fragments, there and back
					t.Errorf("%s: a large datagram: %v", name, err)
				}
				if _, err := w.askOnce(client, "udp", netip.AddrPortFrom(vip, closedPort)); !errors.Is(err, syscall.ECONNREFUSED) {
					t.Errorf("%s: a datagram to a closed port: %v, want that it is refused", name, err)
				}
			}
			outer, inner := p.awaitCounts()
			if len(outer.Queues) != queues || len(inner.Queues) != c.inner || outer.State != "serving" || inner.State != "serving" {
				t.Errorf("%+v and %+v", outer, inner)
			}
			copied := c.driver == "asavie"
			s := p.status()
			if copied != (inner.Copied > 0) || copied != (warned(s, "copied") != "") {
				t.Errorf("%d of %d copied (%s), and told: %q", inner.Copied, inner.Sent, inner.Apart, warned(s, "copied"))
			}
			if len(s.Workers) != max(queues, c.inner) || s.Interface != "eth0,eth1" {
				t.Errorf("%d workers serve %s", len(s.Workers), s.Interface)
			}
			for _, b := range []string{"no-neighbour", "link-down", "too-big", "vlan"} {
				if n := p.counter("packets", b); n != 0 {
					t.Errorf("%d packets are dropped as %s", n, b)
				}
			}
			p.checkSums()
			p.stop()
		})
	}
}

// An interface that goes leaves the other at work, and connections live on when it is back:
// whichever it is.
func TestFieldOneInterfaceGoesAndReturns(t *testing.T) {
	for _, name := range []string{lab.Inner, lab.Interface} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOf(t, queues)
			w.listenStreams()
			p := w.serve(w.writePorts(streamService("streams", natVIP4, "nat", quickHealth), service("nat4", natVIP4, "nat", "tcp", quickHealth)))
			s := w.openStreams(10, natVIP4)
			other := map[string]string{lab.Inner: lab.Interface, lab.Interface: lab.Inner}[name]
			for n := range 2 {
				s.mustLive("before")
				w.deletePort(name)
				st := p.await("tell", func(s api.Status) bool { return s.State == "degraded" && portOf(&s, name).State == "waiting" })
				if got := portOf(&st, other); got.State != "serving" || len(got.Queues) != queues {
					t.Errorf("the other: %+v", got)
				}
				if !strings.Contains(st.Reason, name) || !strings.Contains(warned(st, "port"), name+" is not served: ") {
					t.Errorf("reason %q, warning %q", st.Reason, warned(st, "port"))
				}
				if p.awaitLines(n+1, "WARN.*an interface is away, and the others are served.*"+name); name == lab.Inner {
					if err := w.ping(natVIP4, 3); err != nil { // by the other one alone
						t.Errorf("while %s is away: %v", name, err)
					}
				}
				w.returnPort(name, queues)
				p.await("serve it again", func(s api.Status) bool {
					return s.State == "serving" && portOf(&s, name).State == "serving" && s.Backends.Up == s.Backends.Total
				})
				s.mustLive("after its return")
				w.mustAnswer(20, natVIP4)
			}
			p.awaitCounts()
			s.close()
			p.checkSums()
			p.stop()
		})
	}
}

// When both are gone the balancer waits, as with one, and serves what comes first at once.
func TestFieldBothInterfacesGo(t *testing.T) {
	w := newWorldOf(t, queues)
	p := w.serve(w.writePorts(service("nat4", natVIP4, "nat", "tcp", quickHealth)))
	w.mustAnswer(10, natVIP4)
	w.deletePort(lab.Inner)
	w.deletePort(lab.Interface)
	p.await("wait", func(s api.Status) bool { return s.State == "waiting" })
	p.awaitLines(1, "WARN.*waiting for the interface")
	w.returnPort(lab.Interface, 1)
	s := p.await("serve one", func(s api.Status) bool { return s.State == "degraded" })
	if got := portOf(&s, lab.Interface); got.State != "serving" || len(got.Queues) != 1 {
		t.Errorf("%+v", got)
	}
	if err := w.ping(natVIP4, 3); err != nil {
		t.Error(err)
	}
	w.returnPort(lab.Inner, queues+1)
	p.await("serve both", func(s api.Status) bool {
		return s.State == "serving" && len(portOf(&s, lab.Inner).Queues) == queues+1 && s.Backends.Up == s.Backends.Total
	})
	w.mustAnswer(30, natVIP4)
	p.checkSums()
	p.stop()
}

// What is not right at the start is an error that names the interface, and neither is taken.
func TestTwoInterfacesAtTheStart(t *testing.T) {
	w := newWorldOf(t, 1)
	config := w.writePorts(service("nat4", natVIP4, "nat", "tcp", quickHealth))
	for args, want := range map[string]struct {
		code int
		says string
	}{
		"eth0,eth7":           {exitMachine, "eth7"},
		"eth0,eth0":           {exitUsage, "eth0 is named twice"},
		"eth0,lo":             {exitMachine, "lo is a loopback"},
		"a,b,c,d,e,f,g,h,eth": {exitUsage, "more than 8 interfaces"},
	} {
		p := w.start(nil, "--config", config, "--interface", args)
		if code := p.exit(); code != want.code || !strings.Contains(p.output(), want.says) {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", args, code, want.code, want.says, p.output())
		}
		if w.attached() {
			t.Errorf("%s: a program is attached", args)
		}
	}
	// A second balancer can't have the second interface alone.
	p := w.serve(config)
	second := w.start(nil, "--config", config, "--interface", lab.Inner)
	if code := second.exit(); code != exitFailed || !strings.Contains(second.output(), "another XDP program is attached to eth1") {
		t.Errorf("exit code %d:\n%s", code, second.output())
	}
	w.mustAnswer(10, natVIP4)
	p.stop()
}

// narrow gives the way to the backends, by the balancer's second interface, an MTU.
func (w *world) narrow(mtu int) {
	w.t.Helper()
	links := w.lab.Balancer.Netlink()
	inner, err := links.LinkByName(lab.Inner)
	if err != nil {
		w.t.Fatal(err)
	}
	for to, priority := range map[string]int{"10.0.0.0/24": 0, "2001:db8:10::/64": 1} { // in place of the kernel's, or before it
		_, dst, err := net.ParseCIDR(to)
		if err != nil {
			w.t.Fatal(err)
		}
		route := &netlink.Route{LinkIndex: inner.Attrs().Index, Dst: dst, Scope: netlink.SCOPE_LINK, MTU: mtu, Priority: priority}
		if err := links.RouteReplace(route); err != nil {
			w.t.Fatal(err)
		}
	}
}

// The way to the backends takes less than the clients' link: who sends more is told.
func TestFieldSmallerMTUBehindTheOtherInterface(t *testing.T) {
	w := newWorldOf(t, queues)
	w.listenStreams()
	w.narrow(1300)
	p := w.serve(w.writePorts(streamService("nat4", natVIP4, "nat", quickHealth), streamService("nat6", natVIP6, "nat", quickHealth)))
	told := uint64(0)
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		if err := w.transferFrom(w.lab.Clients[0], netip.AddrPortFrom(vip, streamPort), patience); err != nil {
			t.Errorf("%v: %v", vip, err)
		}
		p.await("tell the client", func(api.Status) bool { return p.counter("packets", "replied") > told })
		told = p.counter("packets", "replied")
	}
	p.checkSums()
	p.stop()
}

// One interface gets a larger MTU than the frames of both are made for: it is served from
// larger ones of its own, connections live on, and that packets are copied now is told.
func TestFieldLargerMTUOfOneInterface(t *testing.T) {
	w := newWorldOf(t, queues)
	w.listenStreams()
	p := w.serve(w.writePorts(streamService("nat4", natVIP4, "nat", quickHealth)))
	s := w.openStreams(10, natVIP4)
	s.mustLive("before")
	if p.awaitCounts(); warned(p.status(), "copied") != "" {
		t.Errorf("copied before: %q", warned(p.status(), "copied"))
	}
	if err := w.lab.SetInnerMTUs(3000); err != nil {
		t.Fatal(err)
	}
	for _, h := range w.lab.Backends {
		if err := w.lab.SetMTUs(h, 3000); err != nil {
			t.Fatal(err)
		}
	}
	st := p.await("have larger frames", func(s api.Status) bool {
		return s.State == "serving" && warned(s, "copied") != "" && s.Workers[0].Frames.Size == 4096 && s.Backends.Up == s.Backends.Total
	})
	if text := warned(st, "copied"); !strings.Contains(text, "an MTU of 3000 does not fit into frames of 2048 bytes") {
		t.Errorf("the status says %q", text)
	}
	p.awaitLines(1, "WARN.*serving anew.*eth1.*an MTU of 3000 wants larger frames")
	s.mustLive("with larger frames on one side")
	if inner := portOf(&st, lab.Inner); len(inner.Queues) != queues {
		t.Errorf("%+v", inner)
	}
	p.await("count the copies", func(s api.Status) bool {
		return portOf(&s, lab.Inner).Copied > 0 && portOf(&s, lab.Interface).Copied > 0
	})
	s.close()
	p.checkSums()
	p.stop()
}

// When both have a larger MTU they share frames again, and nobody is told that packets are
// copied; connections live on.
func TestFieldLargerMTUOfBothInterfaces(t *testing.T) {
	w := newWorldOf(t, queues)
	w.listenStreams()
	p := w.serve(w.writePorts(streamService("nat4", natVIP4, "nat", quickHealth)))
	s := w.openStreams(10, natVIP4)
	s.mustLive("before")
	w.setMTUs(3000)
	if err := w.lab.SetInnerMTUs(3000); err != nil {
		t.Fatal(err)
	}
	p.awaitLines(1, "WARN.*serving anew.*eth0.*an MTU of 3000 wants larger frames")
	p.awaitLines(1, "WARN.*serving anew.*eth1.*an MTU of 3000 wants larger frames")
	p.await("share larger frames", func(s api.Status) bool {
		return s.State == "serving" && warned(s, "copied") == "" && s.Workers[0].Frames.Size == 4096 && s.Backends.Up == s.Backends.Total
	})
	copied := p.counter("ports", "copied")
	s.mustLive("with larger frames on both sides")
	if now := p.counter("ports", "copied"); now != copied {
		t.Errorf("%d are copied all the same", now-copied)
	}
	s.close()
	p.checkSums()
	p.stop()
}
