package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// tunnelled is a service whose packets go to the backends in a tunnel.
type tunnelled struct {
	name, keys string
	vip        netip.Addr
	outer6     bool
}

// tunnels are all kinds: each mode with each family inside and outside, and the options.
func tunnels() (list []tunnelled) {
	add := func(name, keys string, inner6, outer6 bool) {
		vip := netip.AddrFrom4([4]byte{192, 0, 2, byte(30 + len(list))})
		if inner6 {
			vip = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 2, 15: byte(0x30 + len(list))})
		}
		list = append(list, tunnelled{name, keys, vip, outer6})
	}
	for _, mode := range []string{"ipip", "gue", "gre"} {
		add(mode+"-4in4", "mode: "+mode, false, false)
		add(mode+"-4in6", "mode: "+mode, false, true)
		add(mode+"-6in4", "mode: "+mode, true, false)
		add(mode+"-6in6", "mode: "+mode, true, true)
	}
	for _, outer6 := range []bool{false, true} {
		add(fmt.Sprintf("gue0-%t", outer6), "mode: gue, gue: {variant: 0}", false, outer6)
		add(fmt.Sprintf("gue-checksum-%t", outer6), "mode: gue, gue: {checksum: true}", true, outer6)
		add(fmt.Sprintf("spread-%t", outer6), `mode: ipip, tunnel-source: [10.64.0.0/16, "2001:db8:64::/64"]`, true, outer6)
	}
	return list
}

// backends are b0, b1 and b2 for entry.
func (s *tunnelled) backends() (list []string) {
	for i := range 3 {
		a := lab.BackendAddr(i)
		if s.outer6 {
			a = lab.BackendAddr6(i)
		}
		list = append(list, fmt.Sprintf("{name: b%d, address: %q}", i, a))
	}
	return list
}

func (s *tunnelled) entry(protocol, extra string) string {
	return entry(s.name+"-"+protocol, s.vip, port, fmt.Sprintf("protocol: %s, %s, %s", protocol, s.keys, extra), s.backends()...)
}

// decapsulate has the backends take packets out of tunnels and hold the services' addresses.
func (w *world) decapsulate(list []tunnelled) {
	w.t.Helper()
	w.decapsulateBy(list, func(_ int, h *lab.Host) error { return h.Decapsulate() })
}

// decapsulateBy is decapsulate where start has backend i take packets out of tunnels.
func (w *world) decapsulateBy(list []tunnelled, start func(i int, h *lab.Host) error) {
	w.t.Helper()
	var held []netip.Prefix
	for _, s := range list {
		held = append(held, netip.PrefixFrom(s.vip, s.vip.BitLen()))
	}
	for i, h := range w.lab.Backends {
		if err := start(i, h); err != nil {
			w.t.Fatal(err)
		}
		if err := h.AddAddrs("lo", held...); err != nil {
			w.t.Fatal(err)
		}
		for _, s := range list {
			if err := h.UDPEcho(netip.AddrPortFrom(s.vip, port).String(), fmt.Sprint("b", i)); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// decapsulated returns how many packets came out of tunnels.
func (w *world) decapsulated() (n uint64) {
	w.t.Helper()
	for _, h := range w.lab.Backends {
		some, err := h.Decapsulated()
		if err != nil {
			w.t.Fatal(err)
		}
		n += some
	}
	return n
}

// Real TCP and UDP through every kind of tunnel: the backends answer the clients themselves.
func TestFieldTunnels(t *testing.T) {
	testTunnels(t, func(_ int, h *lab.Host) error { return h.Decapsulate() })
}

// testTunnels tests them with backends that take packets out of tunnels by what start starts.
func testTunnels(t *testing.T, start func(i int, h *lab.Host) error) {
	w := newWorld(t)
	list := tunnels()
	w.decapsulateBy(list, start)
	var config []string
	for _, s := range list {
		config = append(config, s.entry("tcp", quickHealth), s.entry("udp", "health: {type: none},"))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", config...))
	for _, s := range list {
		before := w.decapsulated()
		if by := w.mustAnswer(9, s.vip); len(by) != 3 {
			t.Errorf("%s: answered by %v, want all three", s.name, by)
		}
		const least = 9 * 3 // SYN, its ACK, the request
		if n := w.decapsulated() - before; n < least {
			t.Errorf("%s: %d packets came out of tunnels, want at least %d", s.name, n, least)
		}
		before = w.decapsulated()
		by := map[string]int{}
		for range 9 {
			by[w.askUDP(s.vip)]++
		}
		if len(by) != 3 {
			t.Errorf("%s: datagrams are answered by %v, want all three", s.name, by)
		}
		if n := w.decapsulated() - before; n < 9*3 {
			t.Errorf("%s: %d datagrams came out of tunnels", s.name, n)
		}
		w.askAtLength(&s)
	}
	p.checkSums()
	p.stop()
}

// askAtLength asks by a datagram that the client's kernel sends in fragments, each of them as
// large as its link takes, and so larger than what fits into the tunnel. By IPv6 the kernel has
// to be told that first.
func (w *world) askAtLength(s *tunnelled) {
	w.t.Helper()
	client, what := w.lab.Clients[0], strings.Repeat("4 kB", 1000)
	dial := func() net.Conn {
		c, err := client.Dial(w.t.Context(), "udp", netip.AddrPortFrom(s.vip, port).String())
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { c.Close() })
		return c
	}
	if s.vip.Is6() {
		if _, err := dial().Write([]byte(what)); err != nil {
			w.t.Fatal(err)
		}
		for end := time.Now().Add(patience); ; time.Sleep(poll) {
			route, err := client.Netlink().RouteGet(s.vip.AsSlice())
			if err == nil && route[0].MTU != 0 {
				break
			}
			if time.Now().After(end) {
				w.t.Fatalf("%s: the client is not told what fits: %v, %v", s.name, route, err)
			}
		}
	}
	ask(w.t, dial(), what)
}

// A check via the tunnel asks what clients ask: whether a backend takes packets out of it, and
// holds the service's address. The backend's own address proves neither, and need not answer.
func TestFieldTunnelCheck(t *testing.T) {
	for _, by := range []string{"tcp", "http"} {
		t.Run(by, func(t *testing.T) { testTunnelCheck(t, by) })
	}
}

func testTunnelCheck(t *testing.T, by string) {
	w := newWorld(t)
	list := []tunnelled{
		{"four", "mode: ipip", netip.MustParseAddr("192.0.2.40"), false}, {"six", "mode: gue", netip.MustParseAddr("2001:db8:2::40"), false}, {"across", "mode: gre", netip.MustParseAddr("192.0.2.41"), true},
	}
	var config []string
	for _, s := range list {
		config = append(config, s.entry("tcp", fmt.Sprintf("health: {type: %s, via: tunnel, %s},", by, quickly)))
	}
	p := w.start(nil, "--config", w.writeConfig("afxlb.yaml", config...))
	down := func(why string) {
		t.Helper()
		for _, s := range list {
			p.await(why, func(api.Status) bool {
				b := p.backend(s.name+"-tcp", "b1")
				return b.State == "down" && strings.Contains(b.Check, fmt.Sprintf(" take packets out of tunnels, and have %v on lo?", s.vip))
			})
		}
	}
	down("tell that nobody takes packets out of tunnels")
	w.decapsulate(list)
	for i := range 3 {
		for _, s := range list {
			p.awaitState(s.name+"-tcp", fmt.Sprint("b", i), "up")
		}
	}
	for _, s := range list {
		if by := w.mustAnswer(9, s.vip); len(by) != 3 {
			t.Errorf("%s: answered by %v", s.name, by)
		}
		if err := w.lab.Backends[1].DelAddrs("lo", netip.PrefixFrom(s.vip, s.vip.BitLen())); err != nil {
			t.Fatal(err)
		}
	}
	down("miss the address on b1")
	for _, s := range list {
		if by := w.mustAnswer(9, s.vip); by["b1"] != 0 || len(by) != 2 {
			t.Errorf("%s, without the address on b1: answered by %v", s.name, by)
		}
	}
	p.stop()
}

// A backend that lost the address may send what comes out of a tunnel back to the balancer,
// which must not have another one answer in its stead; nor do packets go round.
func TestFieldTunnelEndForwards(t *testing.T) {
	w := newWorld(t)
	list := []tunnelled{{"four", "mode: ipip", netip.MustParseAddr("192.0.2.40"), false}, {"across", "mode: ipip", netip.MustParseAddr("2001:db8:2::40"), false}}
	w.decapsulate(list)
	b1 := w.lab.Backends[1]
	w.forward(b1)
	var config []string
	for _, s := range list {
		on := netip.PrefixFrom(s.vip, s.vip.BitLen())
		if err := b1.DelAddrs("lo", on); err != nil {
			t.Fatal(err)
		}
		own := own4
		if s.vip.Is6() {
			own = own6
		}
		w.route(b1, on, own, lab.Interface)
		config = append(config, s.entry("tcp", "health: {via: tunnel, "+quickly+"},"))
	}
	p := w.start(nil, "--config", w.writeConfig("afxlb.yaml", config...))
	for _, s := range list {
		p.awaitState(s.name+"-tcp", "b0", "up")
		p.awaitState(s.name+"-tcp", "b2", "up")
		p.awaitState(s.name+"-tcp", "b1", "down")
	}
	p.stays(2e9, "down", func(api.Status) bool {
		return p.backend("four-tcp", "b1").State == "down" && p.backend("across-tcp", "b1").State == "down"
	})
	p.stop()
}

func (p *process) awaitState(service, backend, state string) {
	p.t.Helper()
	p.await(fmt.Sprintf("call %s/%s %s", service, backend, state), func(api.Status) bool { return p.backend(service, backend).State == state })
}

// A client that sends full segments learns what fits into the tunnel, and sends all.
func TestFieldTunnelMTU(t *testing.T) {
	w := newWorld(t)
	list := []tunnelled{
		{"ipip", "mode: ipip", netip.MustParseAddr("192.0.2.40"), false}, {"gue", "mode: gue", netip.MustParseAddr("2001:db8:2::40"), true},
		{"gre", "mode: gre", netip.MustParseAddr("192.0.2.41"), true},
	}
	w.decapsulate(list)
	w.listenStreams()
	var config []string
	for _, s := range list {
		config = append(config, entry(s.name, s.vip, streamPort, s.keys+", "+quickHealth, s.backends()...))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", config...))
	for _, s := range list {
		c, _, err := w.dialStream(w.lab.Clients[0], netip.AddrPortFrom(s.vip, streamPort))
		if err != nil {
			t.Fatal(err)
		}
		const size = 1 << 20
		sent := make(chan error, 1)
		go func() {
			_, err := io.CopyN(c, &lab.Stream{}, size)
			sent <- err
		}()
		got, want := sha256.New(), sha256.New()
		if _, err := io.CopyN(want, &lab.Stream{}, size); err != nil {
			t.Fatal(err)
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if n, err := io.CopyN(got, c, size); err != nil || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Errorf("%s: %d bytes came back, which are not those that were sent: %v", s.name, n, err)
		}
		if err := <-sent; err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		c.Close()
	}
	p.checkSums()
	p.stop()
}
