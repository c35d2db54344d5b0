package main

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

var (
	nobodysMAC = packet.MAC{2, 0xde, 0xad, 0xbe, 0xef, 1}
	vrrpMAC    = net.HardwareAddr{0, 0, 0x5e, 0, 1, 10}
)

// awaitSteered waits until the program has steered n packets of clients, and holds that
// it were no more.
func (p *process) awaitSteered(n uint64, what string) {
	p.t.Helper()
	p.await("steer "+what, func(api.Status) bool { return p.counter("steering", "steered-service") >= n })
	if got := p.counter("steering", "steered-service"); got != n {
		p.t.Errorf("%s: %d packets were steered, want %d", what, got, n)
	}
}

// C18: frames for a MAC address that is not the balancer's, for broadcast and multicast
// are no clients', whatever is in them.
func TestFieldFramesForOthers(t *testing.T) {
	for _, mode := range []string{"auto", "generic"} {
		t.Run(mode, func(t *testing.T) { framesForOthers(t, mode) })
	}
}

// framesForOthers has a lab of its own: what clients of an earlier balancer send
// again would be counted.
func framesForOthers(t *testing.T, mode string) {
	w := newWorld(t)
	vips := map[netip.Addr]netip.Addr{ // and a client that nobody is
		natVIP4: lab.ClientAddr(150), dsrVIP4: lab.ClientAddr(150), natVIP6: lab.ClientAddr6(150), dsrVIP6: lab.ClientAddr6(150),
	}
	config := w.writeConfig("afxlb.yaml",
		service("nat4", natVIP4, "nat", "tcp", quickHealth), service("nat6", natVIP6, "nat", "tcp", quickHealth),
		service("dsr4", dsrVIP4, "dsr", "tcp", "health: {type: none},"), service("dsr6", dsrVIP6, "dsr", "tcp", "health: {type: none},"))
	p := w.serve(config, "--xdp-mode", mode)
	c := w.openCable(w.lab.Clients[0])
	steered := uint64(0)
	for vip, client := range vips {
		// The last of one connection's frames is the balancer's: when it has been seen,
		// the others have.
		syn := packettest.TCP(netip.AddrPortFrom(client, 40000).String(), netip.AddrPortFrom(vip, port).String(), packet.TCPSyn)
		for _, to := range []packet.MAC{
			nobodysMAC, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 1, 2, 3}, {0x33, 0x33, 0, 0, 0, 1}, c.to,
		} {
			c.sendTo(to, syn)
			if to == nobodysMAC {
				c.sendTo(to, packettest.Echo(client.String(), vip.String(), 1))
			}
		}
		steered++
		p.awaitSteered(steered, fmt.Sprintf("what was for the balancer, to %s", vip))
	}
	if n := p.counter("steering", "steered-icmp"); n != 0 {
		t.Errorf("%d echo requests for another machine were taken", n)
	}
	for vip := range vips {
		w.mustAnswer(3, vip)
	}
	p.stop()
}

// C18, second part: two balancers of the same services, on a switch that floods. Each
// client's packet is balanced once, by the one that it is for.
func TestFieldTwoBalancersOnAHub(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	beside := w.second()
	if err := w.lab.Flood(); err != nil {
		t.Fatal(err)
	}
	config := w.writeConfig("afxlb.yaml", streamService("nat4", natVIP4, "nat", quickHealth), streamService("nat6", natVIP6, "nat", quickHealth),
		streamService("dsr4", dsrVIP4, "dsr", "health: {type: none},"), streamService("dsr6", dsrVIP6, "dsr", "health: {type: none},"))
	first := w.serve(config)
	second := beside.serve(config)
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		s := w.openStreams(10, vip)
		s.mustLive(fmt.Sprintf("on a hub, to %s", vip))
		s.close()
	}
	for _, name := range []string{"steered-service", "steered-reply"} {
		if n := second.counter("steering", name); n != 0 {
			t.Errorf("the other balancer took %d packets as %s", n, name)
		}
		if n := first.counter("steering", name); n == 0 {
			t.Errorf("the balancer took none as %s: the test shows nothing", name)
		}
	}
	first.stop()
	second.stop()
}

// knowRouterBy has clients and backends know their router, the balancer, by that MAC
// address.
func (w *world) knowRouterBy(mac net.HardwareAddr) {
	w.t.Helper()
	for _, h := range append(w.lab.Clients[:1:1], w.lab.Backends...) {
		routers := []string{"10.0.0.1", "2001:db8:10::1"}
		if h == w.lab.Clients[0] {
			routers = []string{"198.51.100.1", "2001:db8:100::1"}
		}
		for _, a := range routers {
			n := &netlink.Neigh{LinkIndex: w.interfaceOf(h).Index, State: netlink.NUD_PERMANENT, IP: net.ParseIP(a), HardwareAddr: mac}
			if err := h.Netlink().NeighSet(n); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// C18, third part: clients and backends know the balancer by the MAC address of a VRRP
// device that it has above the served interface, from the start or later.
func TestFieldVirtualRouterMAC(t *testing.T) {
	w := newWorld(t)
	p := w.serve(w.writeConfig("afxlb.yaml", service("nat4", natVIP4, "nat", "tcp", quickHealth), service("nat6", natVIP6, "nat", "tcp", quickHealth),
		service("dsr4", dsrVIP4, "dsr", "tcp", "health: {type: none},")))
	if err := w.lab.Balancer.AddVRRP("vrrp.10", vrrpMAC); err != nil {
		t.Fatal(err)
	}
	w.knowRouterBy(vrrpMAC)
	before := p.counter("steering", "steered-service")
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4} {
		if by := w.mustAnswer(12, vip); len(by) != 3 {
			t.Errorf("%s: answered by %v", vip, by)
		}
	}
	if p.counter("steering", "steered-service") == before {
		t.Error("nothing was steered: the test shows nothing")
	}
	p.stop()
	p = w.serve(w.writeConfig("again.yaml", service("nat4", natVIP4, "nat", "tcp", quickHealth)))
	w.mustAnswer(12, natVIP4)
	p.stop()
}

// C18, fourth part: the served interface is a bridge or a macvlan, whose MAC address is not
// that of the device below.
func TestFieldUpperDeviceIsServed(t *testing.T) {
	for name, move := range map[string]func(*lab.Host) error{
		"br0": func(h *lab.Host) error { return h.AddBridge("br0") },
		"mv0": func(h *lab.Host) error { return h.AddMacvlan("mv0") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if err := move(w.lab.Balancer); err != nil {
				t.Fatal(err)
			}
			upper, err := w.lab.Balancer.Netlink().LinkByName(name)
			if err != nil {
				t.Fatal(err)
			}
			w.knowRouterBy(upper.Attrs().HardwareAddr)
			p := w.serve(w.writeConfig("afxlb.yaml", service("nat4", natVIP4, "nat", "tcp", quickHealth), service("nat6", natVIP6, "nat", "tcp", quickHealth)),
				"--interface", name, "--queues", "0")
			for _, vip := range []netip.Addr{natVIP4, natVIP6} {
				if by := w.mustAnswer(6, vip); len(by) != 3 {
					t.Errorf("%s is answered by %v", vip, by)
				}
			}
			p.stop()
		})
	}
}
