package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// cable sends frames of a test's own making from a host's interface.
type cable struct {
	t       *testing.T
	fd      int
	mac, to net.HardwareAddr // the host's, and the balancer's
}

func (w *world) openCable(h *lab.Host) *cable {
	w.t.Helper()
	c := &cable{t: w.t, mac: w.interfaceOf(h).HardwareAddr, to: w.interfaceOf(w.lab.Balancer).HardwareAddr}
	err := h.Do(func() (err error) {
		c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err == nil {
		w.t.Cleanup(func() { unix.Close(c.fd) })
		err = unix.Bind(c.fd, &unix.SockaddrLinklayer{Ifindex: w.interfaceOf(h).Index})
	}
	if err != nil {
		w.t.Fatalf("open the cable of %s: %v", h.Name, err)
	}
	return c
}

func (w *world) interfaceOf(h *lab.Host) *netlink.LinkAttrs {
	w.t.Helper()
	l, err := h.Netlink().LinkByName(lab.Interface)
	if err != nil {
		w.t.Fatal(err)
	}
	return l.Attrs()
}

// send sends a packet in a frame to that MAC address.
func (c *cable) send(to net.HardwareAddr, src, dst netip.Addr, protocol layers.IPProtocol, transport ...gopacket.SerializableLayer) {
	c.t.Helper()
	eth := &layers.Ethernet{SrcMAC: c.mac, DstMAC: to, EthernetType: layers.EthernetTypeIPv4}
	var ip interface {
		gopacket.NetworkLayer
		gopacket.SerializableLayer
	} = &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	if dst.Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	for _, l := range transport {
		if l, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			if err := l.SetNetworkLayerForChecksum(ip); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	b := gopacket.NewSerializeBuffer()
	all := append([]gopacket.SerializableLayer{eth, ip}, transport...)
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		c.t.Fatal(err)
	}
	if _, err := unix.Write(c.fd, b.Bytes()); err != nil {
		c.t.Fatalf("send a frame: %v", err)
	}
}

// syn sends the first segment of a connection.
func (c *cable) syn(to net.HardwareAddr, src, dst netip.AddrPort) {
	c.t.Helper()
	c.send(to, src.Addr(), dst.Addr(), layers.IPProtocolTCP,
		&layers.TCP{SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), SYN: true, Seq: 1000, Window: 64000})
}

var (
	nobodysMAC = net.HardwareAddr{2, 0xde, 0xad, 0xbe, 0xef, 1}
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
	w := newWorld(t)
	vips := map[netip.Addr]netip.Addr{ // and a client that nobody is
		natVIP4: lab.ClientAddr(150), dsrVIP4: lab.ClientAddr(150), natVIP6: lab.ClientAddr6(150), dsrVIP6: lab.ClientAddr6(150),
	}
	config := w.writeConfig("afxlb.yaml",
		service("nat4", natVIP4, "nat", "tcp", quickHealth), service("nat6", natVIP6, "nat", "tcp", quickHealth),
		service("dsr4", dsrVIP4, "dsr", "tcp", "health: {type: none},"), service("dsr6", dsrVIP6, "dsr", "tcp", "health: {type: none},"))
	for _, mode := range []string{"auto", "generic"} {
		p := w.serve(config, "--xdp-mode", mode)
		c := w.openCable(w.lab.Clients[0])
		steered := uint64(0)
		for vip, client := range vips {
			// The last of one connection's frames is the balancer's: when it has been seen,
			// the others have.
			for i, to := range []net.HardwareAddr{
				nobodysMAC, layers.EthernetBroadcast, {1, 0, 0x5e, 1, 2, 3}, {0x33, 0x33, 0, 0, 0, 1}, c.to,
			} {
				c.syn(to, netip.AddrPortFrom(client, 40000), netip.AddrPortFrom(vip, port))
				if vip.Is4() && i == 0 {
					c.send(to, client, vip, layers.IPProtocolICMPv4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)})
				}
			}
			steered++
			p.awaitSteered(steered, fmt.Sprintf("%s: what was for the balancer, to %s", mode, vip))
		}
		if n := p.counter("steering", "steered-icmp"); n != 0 {
			t.Errorf("%s: %d echo requests for another machine were taken", mode, n)
		}
		for vip := range vips {
			w.mustAnswer(3, vip)
		}
		p.stop()
	}
}

// C18, second part: two balancers of the same services, on a switch that floods. Each
// client's packet is balanced once, by the one that it is for.
func TestFieldTwoBalancersOnAHub(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	if err := w.lab.AddSecond(queues); err != nil {
		t.Fatal(err)
	}
	if err := w.lab.Flood(); err != nil {
		t.Fatal(err)
	}
	config := w.writeConfig("afxlb.yaml", streamService("nat4", natVIP4, "nat", quickHealth), streamService("nat6", natVIP6, "nat", quickHealth),
		streamService("dsr4", dsrVIP4, "dsr", "health: {type: none},"), streamService("dsr6", dsrVIP6, "dsr", "health: {type: none},"))
	first := w.serve(config)
	other := *w.lab
	other.Balancer = w.lab.Second
	second := (&world{t: t, lab: &other, web: w.web, dir: w.dir}).serve(config)
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
				t.Errorf("%s: %s is answered by %v", name, vip, by)
			}
		}
		p.stop()
	}
}

// C06: a service of a range of ports leaves alone what its backends do beside it, as
// servers on other ports and as clients. The balancer is their router.
func TestFieldRangeLeavesItsBackendsAlone(t *testing.T) {
	w := newWorld(t)
	for _, setting := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if err := w.lab.Balancer.Sysctl(setting, "1"); err != nil {
			t.Fatal(err)
		}
	}
	client := w.lab.Clients[0]
	for i, h := range w.lab.Backends {
		// All are on one link, and the balancer's kernel tells them so.
		for _, setting := range []string{"net/ipv4/conf/eth0/accept_redirects", "net/ipv6/conf/eth0/accept_redirects"} {
			if err := h.Sysctl(setting, "0"); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range []int{22, 30050} {
			if _, err := h.HTTPServer(fmt.Sprint(":", at), fmt.Sprint("b", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.UDPEcho(":30050", fmt.Sprint("b", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.HTTPServer(":443", "outside"); err != nil {
		t.Fatal(err)
	}
	if err := client.UDPEcho(":53", "dns"); err != nil {
		t.Fatal(err)
	}
	ranges := func(name string, vip netip.Addr, protocol, ports, health string) string {
		text := fmt.Sprintf("  - {name: %s, address: %q, port: %q, protocol: %s, %s backends: [", name, vip, ports, protocol, health)
		for i := range 3 {
			a := lab.BackendAddr(i)
			if vip.Is6() {
				a = lab.BackendAddr6(i)
			}
			text += fmt.Sprintf("{address: %q}, ", a)
		}
		return text + "]}\n"
	}
	const check, none = "health: {type: tcp, port: 22, interval: 200ms, timeout: 200ms},", "health: {type: none},"
	for _, ports := range []string{"30000-30100", "any"} {
		p := w.serve(w.writeConfig("afxlb.yaml", ranges("tcp4", natVIP4, "tcp", ports, check), ranges("tcp6", natVIP6, "tcp", ports, check),
			ranges("udp4", natVIP4, "udp", ports, none), ranges("udp6", natVIP6, "udp", ports, none)))
		for _, c := range []struct {
			from    *lab.Host
			network string
			to      netip.AddrPort
			name    string // of who answers; any if empty
		}{
			{w.lab.Backends[0], "tcp", netip.AddrPortFrom(lab.ClientAddr(0), 443), "outside"},
			{w.lab.Backends[0], "tcp", netip.AddrPortFrom(lab.ClientAddr6(0), 443), "outside"},
			{w.lab.Backends[0], "udp", netip.AddrPortFrom(lab.ClientAddr(0), 53), "dns"},
			{w.lab.Backends[0], "udp", netip.AddrPortFrom(lab.ClientAddr6(0), 53), "dns"},
			{client, "tcp", netip.AddrPortFrom(lab.BackendAddr(0), 22), "b0"},
			{client, "tcp", netip.AddrPortFrom(lab.BackendAddr6(0), 22), "b0"},
			{client, "tcp", netip.AddrPortFrom(natVIP4, 30050), ""},
			{client, "tcp", netip.AddrPortFrom(natVIP6, 30050), ""},
			{client, "udp", netip.AddrPortFrom(natVIP4, 30050), ""},
			{client, "udp", netip.AddrPortFrom(natVIP6, 30050), ""},
		} {
			for range 3 {
				if name, err := w.ask(c.from, c.network, c.to); err != nil || c.name != "" && name != c.name {
					t.Errorf("%s: %s asks %s by %s: %q, %v; want %s", ports, c.from.Name, c.to, c.network, name, err, c.name)
				}
			}
		}
		if n := p.counter("packets", "punted"); ports != "any" && n != 0 {
			t.Errorf("%s: %d packets were taken and given back", ports, n)
		}
		p.stop()
	}
}

// ask asks a web server or a UDP echo for its name, once and on a connection of its own.
func (w *world) ask(h *lab.Host, network string, to netip.AddrPort) (name string, err error) {
	if network == "tcp" {
		return lab.Get(w.t.Context(), h.HTTPClient(3*time.Second, false), "http://"+to.String()+"/")
	}
	c, err := h.Dial(w.t.Context(), network, to.String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	err = echo(c, c, 50, &name)
	return name, err
}

// echo sends a datagram of that size and reads the name of who answers.
func echo(to io.Writer, from interface {
	io.Reader
	SetReadDeadline(time.Time) error
}, size int, name *string) error {
	if _, err := to.Write(make([]byte, size)); err != nil {
		return err
	}
	if err := from.SetReadDeadline(time.Now().Add(3 * time.Second)); err != nil {
		return err
	}
	b := make([]byte, 2*size)
	n, err := from.Read(b)
	if err != nil {
		return err
	}
	of, question, _ := bytes.Cut(b[:n], []byte(" "))
	if len(question) != size {
		return fmt.Errorf("%s answered with %d bytes, not %d", of, len(question), size)
	}
	*name = string(of)
	return nil
}
