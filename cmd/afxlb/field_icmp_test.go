package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// Both ends of a connection learn of a link on the way that takes less than their own: a
// megabyte goes there and back, whichever end is behind it.
func TestFieldPathMTU(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	server, client := w.addBeyond(w.lab.Backends[0], 1, 1300), w.addBeyond(w.lab.Clients[0], 2, 1300)
	w.listenStream(server.Host, "bb")
	w.reach(server, w.lab.Balancer, lab.BackendAddr(0), lab.BackendAddr6(0))
	w.reach(client, w.lab.Balancer, lab.ClientAddr(0), lab.ClientAddr6(0))
	for _, h := range w.lab.Backends {
		w.reach(client, h, own4, own6)
	}
	w.answerBeyond(client)
	const none = "health: {type: none},"
	far4, far6 := netip.MustParseAddr("192.0.2.30"), netip.MustParseAddr("2001:db8:2::30")
	farFull4, farFull6 := netip.MustParseAddr("192.0.2.41"), netip.MustParseAddr("2001:db8:2::41")
	p := w.serve(w.writeConfig("afxlb.yaml",
		streamService("nat4", natVIP4, "nat", none), streamService("nat6", natVIP6, "nat", none),
		streamService("dsr4", dsrVIP4, "dsr", none), streamService("dsr6", dsrVIP6, "dsr", none),
		streamService("far4", far4, "nat", none, fmt.Sprintf("{address: %q}", server.addr4)),
		streamService("far6", far6, "nat", none, fmt.Sprintf("{address: %q}", server.addr6)),
		entry("full4", fullVIP4, streamPort, snatKeys(own4)+none, backendsOf(fullVIP4)...),
		entry("full6", fullVIP6, streamPort, snatKeys(own6)+none, backendsOf(fullVIP6)...),
		entry("farfull4", farFull4, streamPort, snatKeys(own4)+none, fmt.Sprintf("{address: %q}", server.addr4)),
		entry("farfull6", farFull6, streamPort, snatKeys(own6)+none, fmt.Sprintf("{address: %q}", server.addr6))))
	for _, c := range []struct {
		from *lab.Host
		vip  netip.Addr
	}{
		{client.Host, natVIP4}, {client.Host, natVIP6}, {client.Host, dsrVIP4}, {client.Host, dsrVIP6},
		{w.lab.Clients[0], far4}, {w.lab.Clients[0], far6}, {client.Host, far4}, {client.Host, far6},
		{client.Host, fullVIP4}, {client.Host, fullVIP6}, {w.lab.Clients[0], farFull4}, {w.lab.Clients[0], farFull6}, {client.Host, farFull4}, {client.Host, farFull6},
	} {
		if err := w.transferFrom(c.from, netip.AddrPortFrom(c.vip, streamPort), patience); err != nil {
			t.Errorf("%s to %v: %v", c.from.Name, c.vip, err)
		}
	}
	p.checkSums()
	if n := p.counter("packets", "icmp"); n != 0 {
		t.Errorf("%d ICMP errors were dropped", n)
	}
	p.stop()
}

// Traceroute sees the routers behind the balancer, and the service behind them.
func TestFieldHopsBehindTheBalancer(t *testing.T) {
	w := newWorld(t)
	server := w.addBeyond(w.lab.Backends[0], 1, 1300)
	w.reach(server, w.lab.Balancer, lab.BackendAddr(0), lab.BackendAddr6(0))
	if _, err := server.HTTPServer(fmt.Sprint(":", port), "bb"); err != nil {
		t.Fatal(err)
	}
	const none = "health: {type: none},"
	var services []string
	for name, vip := range map[string]netip.Addr{"far4": natVIP4, "far6": natVIP6, "full4": fullVIP4, "full6": fullVIP6} {
		keys := none
		if strings.HasPrefix(name, "full") {
			keys = snatKeys(ownSource(vip)) + none
		}
		backend := fmt.Sprintf("{address: %q}", server.of(vip))
		services = append(services, entry(name, vip, port, keys, backend), entry(name+"u", vip, port, "protocol: udp, "+keys, backend))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", services...))
	for _, vip := range []netip.Addr{natVIP4, natVIP6, fullVIP4, fullVIP6} {
		for _, network := range []string{"tcp", "udp"} {
			for hops := 1; hops <= 3; hops++ { // the balancer, and two routers
				if err := w.dialHops(network, vip, hops); !errors.Is(err, syscall.EHOSTUNREACH) {
					t.Errorf("%s to %v with %d hops to go: %v", network, vip, hops, err)
				}
			}
		}
		if err := w.dialHops("tcp", vip, 4); err != nil {
			t.Errorf("tcp to %v with four hops to go: %v", vip, err)
		}
		if err := w.dialHops("udp", vip, 4); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("udp to %v with four hops to go: %v, want that it is refused", vip, err)
		}
	}
	p.checkSums()
	p.stop()
}

// A datagram to a port on which nobody listens is refused, by the backend to the client and
// by a client that is gone to the backend: in each mode and family, and both are told.
func TestFieldPortUnreachable(t *testing.T) {
	w := newWorld(t)
	const none, closed = "health: {type: none},", 9
	vips := map[string]netip.Addr{"nat4": natVIP4, "nat6": natVIP6, "dsr4": dsrVIP4, "dsr6": dsrVIP6, "full4": fullVIP4, "full6": fullVIP6}
	var services []string
	for name, vip := range vips {
		keys := fmt.Sprintf("protocol: udp, mode: %s, %s", name[:3], none)
		if strings.HasPrefix(name, "full") {
			keys = "protocol: udp, " + snatKeys(ownSource(vip)) + none
		}
		backend := fmt.Sprintf("{address: %q}", backendAddr(0, vip))
		services = append(services, entry(name, vip, port, keys, backend), entry(name+"-closed", vip, closed, keys, backend))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", services...))
	for name, vip := range vips {
		if _, err := w.askOnce(w.lab.Clients[0], "udp", netip.AddrPortFrom(vip, closed)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: a datagram to a closed port: %v, want that it is refused", name, err)
		}
		at := backendAddr(0, vip)
		if strings.HasPrefix(name, "dsr") {
			at = vip
		}
		if err := w.answerNobody(netip.AddrPortFrom(at, port), netip.AddrPortFrom(vip, port)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: an answer to a client that is gone: %v, want that it is refused", name, err)
		}
	}
	p.checkSums()
	if n := p.counter("packets", "icmp"); n != 0 {
		t.Errorf("%d ICMP errors were dropped", n)
	}
	p.stop()
}

// answerNobody has backend 0 answer a client of the service that has closed its socket by
// then, and returns what the backend is told.
func (w *world) answerNobody(at, vip netip.AddrPort) error {
	w.t.Helper()
	var server net.PacketConn
	err := w.lab.Backends[0].Do(func() (err error) {
		l := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
			cerr := raw.Control(func(fd uintptr) {
				level, errs := unix.IPPROTO_IP, unix.IP_RECVERR
				if at.Addr().Is6() {
					level, errs = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
				}
				err = unix.SetsockoptInt(int(fd), level, errs, 1)
			})
			return errors.Join(cerr, err)
		}}
		server, err = l.ListenPacket(w.t.Context(), "udp", at.String())
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	defer server.Close()
	c, err := w.lab.Clients[0].Dial(w.t.Context(), "udp", vip.String())
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := c.Write([]byte("question")); err != nil {
		w.t.Fatal(err)
	}
	if err := server.SetReadDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	b := make([]byte, 100)
	_, client, err := server.ReadFrom(b)
	c.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := server.WriteTo([]byte("answer"), client); err != nil {
		return err
	}
	_, _, err = server.ReadFrom(b)
	return err
}

// What a stranger on the link says of a connection, who knows its addresses and ports but
// not its sequence numbers, reaches an end of it at most, which knows better.
func TestFieldForgedErrors(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	if err := w.lab.AddSecond(1); err != nil {
		t.Fatal(err)
	}
	stranger := w.openCable(w.lab.Second)
	p := w.serve(w.writeConfig("afxlb.yaml", streamService("nat4", natVIP4, "nat", quickHealth), streamService("nat6", natVIP6, "nat", quickHealth),
		streamService("dsr4", dsrVIP4, "dsr", quickHealth), streamService("dsr6", dsrVIP6, "dsr", quickHealth)))
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		c := w.openTalk(vip)
		was := p.flowOf(c)
		forward := p.counter("packets", "forwarded")
		n := stranger.belie(c)
		p.await("forward them", func(api.Status) bool { return p.counter("packets", "forwarded") >= forward+n })
		if is := p.flowOf(c); is.State != was.State || is.Backend != was.Backend {
			t.Errorf("%v: the flow was %+v, is %+v", vip, was, is)
		}
		if err := converse(c); err != nil {
			t.Errorf("%v: after errors that were made up: %v", vip, err)
		}
	}
	p.checkSums()
	p.stop()
}

// belie says all that is bad of a connection, and returns how often it will be believed to
// be about it.
func (c *cable) belie(t *talk) (n uint64) {
	c.t.Helper()
	router, kinds := "203.0.113.66", [][2]uint8{{3, 1}, {3, 2}, {3, 3}, {3, 4}, {3, 13}, {11, 0}, {12, 0}}
	if t.vip.Is6() {
		router, kinds = "2001:db8:66::66", [][2]uint8{{1, 1}, {1, 4}, {2, 0}, {3, 0}, {4, 1}}
	}
	said := packettest.TCP(netip.AddrPortFrom(t.vip, streamPort).String(), t.client().String(), packet.TCPAck)
	for _, kind := range kinds {
		for _, quoted := range []packettest.Frame{said, packettest.TCP(t.client().String(), netip.AddrPortFrom(t.vip, streamPort).String(), packet.TCPAck)} {
			e := packettest.Echo(router, quoted.Src.Addr().String(), 0)
			e.Type, e.Code, e.EchoSeq, e.Payload = kind[0], kind[1], 68, quoted.Bytes()[14:]
			c.send(e)
		}
		n++ // what the service said
	}
	return n
}

// flowOf returns the flow of a connection.
func (p *process) flowOf(c *talk) api.Flow {
	p.t.Helper()
	flows, err := p.api.Flows(p.t.Context(), api.FlowFilter{Limit: 1000})
	if err != nil {
		p.t.Fatal(err)
	}
	i := slices.IndexFunc(flows, func(f api.Flow) bool { return f.Client == c.client().String() })
	if i < 0 {
		p.t.Fatalf("no flow of %v in %+v", c.client(), flows)
	}
	return flows[i]
}

// A ping of any size that the link takes in one packet is answered, byte for byte.
func TestFieldPingOfAnySize(t *testing.T) {
	w := newWorld(t)
	w.setMTUs(3500)
	p := w.serve(w.writeConfig("afxlb.yaml", service("nat4", natVIP4, "nat", "tcp", quickHealth), service("nat6", natVIP6, "nat", "tcp", quickHealth),
		service("dsr4", dsrVIP4, "dsr", "tcp", quickHealth), service("dsr6", dsrVIP6, "dsr", "tcp", quickHealth)))
	for _, vip := range []netip.Addr{natVIP4, natVIP6, dsrVIP4, dsrVIP6} {
		largest := 3500 - 28
		if vip.Is6() {
			largest = 3500 - 48
		}
		for _, n := range []int{0, 1, 7, 8, 1000, 1473, largest - 1, largest} {
			if err := w.ping(vip, n); err != nil {
				t.Errorf("%v, %d bytes: %v", vip, n, err)
			}
		}
	}
	p.checkSums()
	p.stop()
}

// ping asks for an echo with so many bytes, and waits for the answer.
func (w *world) ping(to netip.Addr, n int) error {
	w.t.Helper()
	request, network := packettest.Echo(lab.ClientAddr(0).String(), to.String(), 0x1234), "ip4:icmp"
	if to.Is6() {
		request, network = packettest.Echo(lab.ClientAddr6(0).String(), to.String(), 0x1234), "ip6:ipv6-icmp"
	}
	request.Payload = []byte(strings.Repeat("p", n))
	frame := request.Bytes()
	message := frame[len(frame)-8-n:]
	c, err := w.lab.Clients[0].Dial(w.t.Context(), network, to.String())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return err
	}
	if _, err := c.Write(message); err != nil {
		return err
	}
	b := make([]byte, len(frame))
	got, err := c.Read(b)
	if err != nil {
		return err
	}
	if reply := b[max(got-len(message), 0):got]; !bytes.Equal(reply[4:], message[4:]) || reply[0] != 0 && reply[0] != 129 {
		return fmt.Errorf("%d bytes of something else came back", got)
	}
	return nil
}
