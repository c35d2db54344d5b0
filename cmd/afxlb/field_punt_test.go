package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// routeBackends has client 0 reach the backends by the balancer.
func (w *world) routeBackends() {
	w.t.Helper()
	for i := range w.lab.Backends {
		w.route(w.lab.Clients[0], netip.PrefixFrom(lab.BackendAddr(i), 32), netip.MustParseAddr("198.51.100.1"), lab.Interface)
		w.route(w.lab.Clients[0], netip.PrefixFrom(lab.BackendAddr6(i), 128), netip.MustParseAddr("2001:db8:100::1"), lab.Interface)
	}
}

// C05: with the balancer as their gateway, nat backends can still be reached at their own
// addresses, whether or not the way to them leads by the balancer too; whatever the
// machine's reverse path filter is.
func TestFieldBackendsOwnAddress(t *testing.T) {
	for name, filter := range map[string]string{"no filter": "0", "strict filter": "1"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.forward(w.lab.Balancer)
			if err := w.lab.Balancer.Sysctl("net/ipv4/conf/all/rp_filter", filter); err != nil {
				t.Fatal(err)
			}
			p := w.serve(w.writeConfig("afxlb.yaml",
				service("nat4", natVIP4, "nat", "tcp", ""), service("nat6", natVIP6, "nat", "tcp", ""), service("dsr4", dsrVIP4, "dsr", "tcp", "")))
			for _, way := range []string{"replies by the balancer", "both ways by the balancer"} {
				for i := range w.lab.Backends {
					for _, a := range []netip.Addr{lab.BackendAddr(i), lab.BackendAddr6(i)} {
						if by := w.mustAnswer(3, a); by[fmt.Sprint("b", i)] != 3 {
							t.Errorf("%s: %v is answered by %v", way, a, by)
						}
					}
				}
				for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4} {
					w.mustAnswer(6, vip)
				}
				if way == "replies by the balancer" {
					w.routeBackends()
				}
			}
			p.checkSums()
			if n := p.counter("packets", "punted"); n < 2*3*6*3 { // of each connection a SYN-ACK, an answer and a FIN
				t.Errorf("%d packets went back to the kernel", n)
			}
			p.stop()
			if links, err := w.lab.Balancer.Netlink().LinkList(); err != nil || len(links) != 2 {
				t.Errorf("it leaves %d interfaces: %v", len(links), err)
			}
		})
	}
}

// C05: a connection to a backend from the port of a live one to the service can't be told
// apart from it, and does it no harm.
func TestFieldBackendsOwnAddressFromTheSamePort(t *testing.T) {
	w := newWorld(t)
	w.forward(w.lab.Balancer)
	w.listenStreams()
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("web", natVIP4, "nat", "", fmt.Sprintf("{name: b0, address: %s}", lab.BackendAddr(0)))))
	s := w.openStreams(1, natVIP4)
	s.mustLive("before")
	w.routeBackends()
	in := p.first(t).PacketsIn
	c, err := w.dialFrom(s.list[0].local, netip.AddrPortFrom(lab.BackendAddr(0), streamPort), time.Second)
	if err == nil {
		c.Close()
	} else if errors.Is(err, syscall.EADDRINUSE) {
		t.Fatal(err)
	}
	s.mustLive("after a connection from the same port")
	if f := p.first(t); f.PacketsIn <= in {
		t.Errorf("the flow is %+v", f)
	}
	p.stop()
}

// first returns the first flow.
func (p *process) first(t *testing.T) api.Flow {
	t.Helper()
	list, err := p.api.Flows(t.Context(), api.FlowFilter{Limit: 1})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d flows: %v", len(list), err)
	}
	return list[0]
}

// C07: a backend is a client, too, from a port that it serves: of NTP, DNS or SIP.
func TestFieldBackendIsAClient(t *testing.T) {
	w := newWorld(t)
	w.forward(w.lab.Balancer)
	const none = "health: {type: none},"
	p := w.serve(w.writeConfig("afxlb.yaml",
		service("ntp4", natVIP4, "nat", "udp", none), service("ntp6", natVIP6, "nat", "udp", none),
		service("sip", natVIP4, "nat", "tcp", none)))
	upstream := w.lab.Clients[0]
	for i, to := range []netip.Addr{lab.ClientAddr(0), lab.ClientAddr6(0)} {
		if err := upstream.UDPEcho(netip.AddrPortFrom(to, 123).String(), "upstream"); err != nil {
			t.Fatal(err)
		}
		from := []netip.Addr{lab.BackendAddr(0), lab.BackendAddr6(0)}[i]
		c, err := w.lab.Backends[0].ListenPacket("udp", netip.AddrPortFrom(from, port).String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for n := range 5 {
			ask(t, unconnected{c, netip.AddrPortFrom(to, 123)}, fmt.Sprint(n))
		}
		// Larger than the link's MTU: the fragments go their way, too.
		ask(t, unconnected{c, netip.AddrPortFrom(to, 123)}, strings.Repeat("x", 4000))
	}
	// Nobody listens on another one: who asks it directly is told so, by an ICMP error that
	// is about no flow.
	w.routeBackends()
	for _, a := range []netip.Addr{lab.BackendAddr(1), lab.BackendAddr6(1)} {
		if _, err := w.askOnce(w.lab.Clients[0], "udp", netip.AddrPortFrom(a, port)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("a datagram to %v: %v, want that it is refused", a, err)
		}
	}
	p.checkSums()
	if n := p.counter("packets", "punted"); n < 10 {
		t.Errorf("%d packets went back to the kernel", n)
	}
	p.stop()
}

// Who takes the way back away, or sets it down, does so for a moment.
func TestFieldWayBackComesBack(t *testing.T) {
	w := newWorld(t)
	w.forward(w.lab.Balancer)
	w.routeBackends()
	p := w.serve(w.writeConfig("afxlb.yaml", service("web", natVIP4, "nat", "tcp", "")))
	links := w.lab.Balancer.Netlink()
	for _, harm := range []func(netlink.Link) error{links.LinkDel, links.LinkSetDown, links.LinkDel} {
		link, err := links.LinkByName("afxlb-punt0")
		if err == nil {
			err = harm(link)
		}
		if err != nil {
			t.Fatal(err)
		}
		w.mustAnswer(3, lab.BackendAddr(0))
	}
	w.mustAnswer(6, natVIP4)
	p.checkSums()
	if n := p.counter("packets", "punted"); n < 3*3*3 { // of each connection a SYN-ACK, an answer and a FIN
		t.Errorf("%d packets went back to the kernel", n)
	}
	p.stop()
}

// Without a way back to the kernel, as in a container that has no /dev/net/tun, services
// are served all the same, and it is told where nat services need it.
func TestFieldNoWayBack(t *testing.T) {
	w := newWorld(t)
	w.forward(w.lab.Balancer)
	for mode, told := range map[string]bool{"nat": true, "dsr": false} {
		vip := map[string]netip.Addr{"nat": natVIP4, "dsr": dsrVIP4}[mode]
		p := w.startApart(&syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}, "mount -t tmpfs none /dev/net",
			"--config", w.writeConfig(mode+".yaml", service("web", vip, mode, "tcp", quickHealth)))
		s := p.await("serve", func(s api.Status) bool { return s.State == "serving" && s.Backends.Up == 3 })
		if got := slices.ContainsFunc(s.Warnings, func(w api.Warning) bool { return w.Code == "punt" && strings.Contains(w.Text, "/dev/net/tun") }); got != told {
			t.Errorf("%s: told %v, want %v: %+v", mode, got, told, s.Warnings)
		}
		w.mustAnswer(6, vip)
		p.checkSums()
		p.stop()
		if n := p.lines("WARN.*given back to the kernel.*/dev/net/tun"); (n == 1) != told {
			t.Errorf("%s: %d lines in the log", mode, n)
		}
	}
}

// C23: a server that speaks on a connection which the balancer has forgotten learns soon
// that it is over, whether or not the machine forwards.
func TestFieldServerSpeaksOnAForgottenFlow(t *testing.T) {
	for name, forward := range map[string]bool{"forwarding": true, "not forwarding": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if forward {
				w.forward(w.lab.Balancer)
			}
			l, err := w.lab.Backends[0].Listen("tcp", fmt.Sprint(":", streamPort))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			const none = "health: {type: none},"
			config := w.writeConfig("afxlb.yaml",
				streamService("web4", natVIP4, "nat", none, fmt.Sprintf("{name: b0, address: %s}", lab.BackendAddr(0))),
				streamService("web6", natVIP6, "nat", none, fmt.Sprintf("{name: b0, address: %q}", lab.BackendAddr6(0))),
				"conntrack: {timeouts: {tcp-established: 500ms, tcp-syn: 500ms, tcp-closing: 500ms}}\n")
			p := w.serve(config)
			for _, vip := range []netip.Addr{natVIP4, natVIP6} {
				w.mustEndSoon(p, l, vip)
			}
			p.checkSums()
			p.stop()
		})
	}
}

// mustEndSoon has a server speak on a connection to a service once that is forgotten.
func (w *world) mustEndSoon(p *process, l net.Listener, vip netip.Addr) {
	w.t.Helper()
	c, err := w.lab.Clients[0].Dial(w.t.Context(), "tcp", netip.AddrPortFrom(vip, streamPort).String())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.Close()
	server, err := l.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	defer server.Close()
	if _, err := c.Write([]byte{'.'}); err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, 1)
	if _, err := io.ReadFull(server, b); err != nil {
		w.t.Fatal(err)
	}
	p.await("forget the connection", func(s api.Status) bool { return s.Flows.Flows == 0 })
	if _, err := server.Write([]byte{'!'}); err != nil {
		w.t.Fatal(err)
	}
	if err := server.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := server.Read(b); !errors.Is(err, syscall.ECONNRESET) {
		w.t.Errorf("%v: the server was told %v, want a reset", vip, err)
	}
}
