package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// The services with full NAT, and the balancer's addresses that they speak from beside the
// ones that it has.
var (
	fullVIP4, fullVIP6 = netip.MustParseAddr("192.0.2.40"), netip.MustParseAddr("2001:db8:2::40")
	more4, more6       = netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("2001:db8:10::5")
)

// unroute takes the backends' routes away that lead by the balancer: they know nobody but
// their own network then.
func (w *world) unroute() {
	w.t.Helper()
	for _, h := range w.lab.Backends {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			routes, err := h.Netlink().RouteList(nil, family)
			if err != nil {
				w.t.Fatal(err)
			}
			for i := range routes {
				if routes[i].Gw == nil {
					continue
				}
				if err := h.Netlink().RouteDel(&routes[i]); err != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
}

// addSources gives the balancer the further addresses.
func (w *world) addSources(a ...netip.Addr) {
	w.t.Helper()
	for _, a := range a {
		if err := w.lab.Balancer.AddAddrs(lab.Interface, netip.PrefixFrom(a, a.BitLen())); err != nil {
			w.t.Fatal(err)
		}
	}
}

// ownSource is the balancer's own address of a service's family.
func ownSource(vip netip.Addr) netip.Addr {
	if vip.Is6() {
		return own6
	}
	return own4
}

// snatKeys are keys of an entry.
func snatKeys(sources ...netip.Addr) string {
	var list []string
	for _, a := range sources {
		list = append(list, fmt.Sprintf("%q", a))
	}
	return fmt.Sprintf("mode: fullnat, snat-addresses: [%s], ", strings.Join(list, ", "))
}

// Backends that have no way to the clients serve them, by TCP and UDP and in both families.
// One of the sources is the address that checks are made from, and what is the machine's own
// stays so.
func TestFieldFullNAT(t *testing.T) {
	w := newWorld(t)
	w.unroute()
	w.addSources(more4, more6)
	w.listenDatagrams()
	p := w.serve(w.writeConfig("afxlb.yaml",
		entry("web4", fullVIP4, port, snatKeys(own4, more4)+quickHealth, backendsOf(fullVIP4)...),
		entry("web6", fullVIP6, port, snatKeys(own6, more6)+quickHealth, backendsOf(fullVIP6)...),
		entry("dns4", fullVIP4, port, "protocol: udp, "+snatKeys(own4, more4)+"health: {type: none},", backendsOf(fullVIP4)...),
		entry("dns6", fullVIP6, port, "protocol: udp, "+snatKeys(own6, more6)+"health: {type: none},", backendsOf(fullVIP6)...)))
	for _, vip := range []netip.Addr{fullVIP4, fullVIP6} {
		w.mustReachAll(vip, 30)
		client := map[bool]netip.Addr{true: lab.ClientAddr(0), false: lab.ClientAddr6(0)}[vip.Is4()]
		for range 3 { // there and back in fragments
			if _, err := w.askUnconnected(w.lab.Clients[0], client, netip.AddrPortFrom(vip, port), 5000); err != nil {
				t.Errorf("%v, a large datagram: %v", vip, err)
			}
		}
		// The machine itself, from the same address.
		for i := range 3 {
			if _, err := w.askOnce(w.lab.Balancer, "tcp", netip.AddrPortFrom(backendAddr(i, vip), port)); err != nil {
				t.Errorf("the machine's own connection: %v", err)
			}
			if _, err := w.askOnce(w.lab.Balancer, "udp", netip.AddrPortFrom(backendAddr(i, vip), port)); err != nil {
				t.Errorf("the machine's own datagram: %v", err)
			}
		}
	}
	if s := p.status(); s.Backends.Up != s.Backends.Total {
		t.Errorf("%d of %d backends are up", s.Backends.Up, s.Backends.Total)
	}
	if n := p.lines("backend is down"); n != 0 {
		t.Errorf("%d backends were down", n)
	}
	p.checkSums()
	p.stop()
}

// An address that nobody here answers for is told: by check, the log and the status, until
// the machine has it.
func TestFieldForeignSource(t *testing.T) {
	w := newWorld(t)
	config := w.writeConfig("afxlb.yaml", entry("web", fullVIP4, port, snatKeys(own4, more4)+quickHealth, backendsOf(fullVIP4)...))
	const told = "10.0.0.5 of snat-addresses is no address of this machine"
	_ = w.lab.Balancer.Do(func() error {
		if code, _, stderr := cli("check", "--here", config); code != exitDone || !strings.Contains(stderr, "warning: "+told) {
			t.Errorf("check --here: exit code %d, %q", code, stderr)
		}
		return nil
	})
	p := w.serve(config)
	p.awaitLines(1, told)
	if text := warned(p.status(), "snat-address"); !strings.Contains(text, told) {
		t.Errorf("warning %q", text)
	}
	w.addSources(more4)
	p.await("know the address", func(s api.Status) bool { return warned(s, "snat-address") == "" })
	w.mustAnswer(20, fullVIP4)
	p.stop()
}

// What the backend sees is a source of the balancer's, and what `flows` says.
func TestFieldFullNATSources(t *testing.T) {
	w := newWorld(t)
	w.addSources(more4)
	seen := make(chan string, 1)
	if err := w.lab.Backends[0].ServeTCP(fmt.Sprint(":", streamPort), func(c net.Conn) {
		seen <- c.RemoteAddr().String()
		_, _ = io.Copy(c, c)
	}); err != nil {
		t.Fatal(err)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", entry("web", fullVIP4, streamPort, snatKeys(more4)+"snat-ports: 5000-5999, health: {type: none},", backendsOf(fullVIP4)[0])))
	c, err := w.dialFrom(nil, netip.AddrPortFrom(fullVIP4, streamPort), patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	from := netip.MustParseAddrPort(<-seen)
	if from.Addr() != more4 || from.Port() < 5000 || from.Port() > 5999 {
		t.Errorf("the backend sees %v", from)
	}
	f := p.first(t)
	if f.Source != from.String() || f.Target != netip.AddrPortFrom(lab.BackendAddr(0), streamPort).String() || f.Client != c.LocalAddr().String() {
		t.Errorf("flow %+v, the backend sees %v", f, from)
	}
	p.stop()
}

// A reload takes a source away, or narrows its ports: what speaks from there goes on, and new
// connections go by what the file says.
func TestFieldSourceIsTakenAway(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	w.addSources(more4, more6)
	service := func(name string, vip, source netip.Addr, ports string) string {
		return entry(name, vip, streamPort, snatKeys(source)+ports+quickHealth, backendsOf(vip)...)
	}
	config := w.writeConfig("afxlb.yaml", service("four", fullVIP4, more4, ""), service("six", fullVIP6, more6, ""))
	p := w.serve(config)
	four, six := w.openStreams(6, fullVIP4), w.openStreams(6, fullVIP6)
	w.writeConfig("afxlb.yaml", service("four", fullVIP4, own4, ""), service("six", fullVIP6, more6, "snat-ports: 60000-60999, "))
	p.reload()
	four.mustLive("after their source was taken away")
	six.mustLive("after its ports became fewer")
	w.openStreams(3, fullVIP4).mustLive("from another source")
	w.openStreams(3, fullVIP6).mustLive("from other ports")
	p.checkSources(map[netip.Addr]int{more4: 6, own4: 3, more6: 9})
	p.stop()
}

// checkSources holds how many flows speak from where.
func (p *process) checkSources(want map[netip.Addr]int) {
	p.t.Helper()
	list, err := p.api.Flows(p.t.Context(), api.FlowFilter{Limit: 1000})
	if err != nil {
		p.t.Fatal(err)
	}
	got := map[netip.Addr]int{}
	for _, f := range list {
		got[netip.MustParseAddrPort(f.Source).Addr()]++
	}
	if !maps.Equal(got, want) {
		p.t.Errorf("flows by source: %v, want %v", got, want)
	}
}

// A backend is a client of its own service.
func TestFieldHairpin(t *testing.T) {
	w := newWorld(t)
	w.listenDatagrams()
	w.addSources(more4, more6)
	for _, h := range w.lab.Backends {
		w.route(h, netip.PrefixFrom(fullVIP4, 32), own4, lab.Interface)
		w.route(h, netip.PrefixFrom(fullVIP6, 128), own6, lab.Interface)
	}
	var services []string
	for _, vip := range []netip.Addr{fullVIP4, fullVIP6} {
		source := map[bool]netip.Addr{true: more4, false: more6}[vip.Is4()]
		family := map[bool]string{true: "4", false: "6"}[vip.Is4()]
		services = append(services,
			entry("web"+family, vip, port, snatKeys(source)+quickHealth, backendsOf(vip)[0]),
			entry("dns"+family, vip, port, "protocol: udp, "+snatKeys(source)+"health: {type: none},", backendsOf(vip)[0]))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", services...))
	for _, vip := range []netip.Addr{fullVIP4, fullVIP6} {
		for _, network := range []string{"tcp", "udp"} {
			for i, h := range w.lab.Backends {
				for range 3 {
					if name, err := w.askOnce(h, network, netip.AddrPortFrom(vip, port)); err != nil || name != "b0" {
						t.Errorf("backend %d asks %v by %s: %q, %v", i, vip, network, name, err)
					}
				}
			}
		}
	}
	p.checkSums()
	p.stop()
}

// crowd is connections that are held open, each with what its backend says that it sees.
type crowd struct {
	mu    sync.Mutex
	conns []net.Conn
	seen  map[string]int // backend, and source that it sees
}

// open opens n at once; it returns how many had no answer within a time.
func (w *world) open(c *crowd, n int, vip netip.Addr, within time.Duration) (failed int) {
	w.t.Helper()
	var all sync.WaitGroup
	slots := make(chan struct{}, 50)
	for range n {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(w.t.Context(), within)
			defer cancel()
			conn, err := w.lab.Clients[0].Dial(ctx, "tcp", netip.AddrPortFrom(vip, streamPort).String())
			line := ""
			if err == nil {
				_ = conn.SetReadDeadline(time.Now().Add(answerTime))
				_, err = fmt.Fscanln(conn, &line)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if err != nil {
				failed++
				return
			}
			c.conns = append(c.conns, conn)
			c.seen[line]++
		})
	}
	all.Wait()
	return failed
}

// Hundreds of connections fit into a hundred ports: each to each backend. Beyond, new ones
// wait, and it is told; those that are there go on, and a port that was closed serves again.
func TestFieldFewSourcePorts(t *testing.T) {
	w := newWorld(t)
	w.unroute()
	w.addSources(more4)
	for i, h := range w.lab.Backends {
		if err := h.ServeTCP(fmt.Sprint(":", streamPort), func(c net.Conn) {
			fmt.Fprintf(c, "b%d,%v\n", i, c.RemoteAddr())
			_, _ = io.Copy(c, c)
		}); err != nil {
			t.Fatal(err)
		}
	}
	const ports = 100
	config := w.writeConfig("afxlb.yaml", entry("web", fullVIP4, streamPort,
		fmt.Sprintf("%s snat-ports: 20000-%d, health: {type: none},", snatKeys(more4), 20000+ports-1), backendsOf(fullVIP4)...))
	replaceInFile(t, config, "services:", "conntrack: {timeouts: {tcp-closing: 500ms, tcp-syn: 1s}}\nservices:")
	p := w.serve(config)
	c := &crowd{seen: map[string]int{}}
	defer func() {
		for _, conn := range c.conns {
			conn.Close()
		}
	}()
	if failed := w.open(c, 3*ports, fullVIP4, patience); failed != 0 {
		t.Fatalf("%d of %d connections were not made", failed, 3*ports)
	}
	for end, n := range c.seen {
		if n != 1 {
			t.Errorf("%s is in use %d times", end, n)
		}
	}
	if s := p.status(); len(s.SnatPorts) != 3 || s.SnatPorts[0].Taken != ports || s.SnatPorts[0].Total != ports {
		t.Errorf("snat ports %+v", s.SnatPorts)
	}
	if w.open(c, 1, fullVIP4, 100*time.Millisecond) != 1 {
		t.Error("one more was made")
	}
	p.await("count it as snat-exhausted, and warn", func(s api.Status) bool {
		return p.counter("packets", "snat-exhausted") > 0 && strings.Contains(warned(s, "snat-ports"), "all 100 source ports are taken")
	})
	p.awaitLines(3, "all 100 source ports are taken")
	for i, conn := range c.conns {
		if err := converse(conn); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	for _, conn := range c.conns[:150] {
		conn.Close()
	}
	c.conns = c.conns[150:]
	p.await("have ports again", func(api.Status) bool { return w.open(c, 1, fullVIP4, 2*time.Second) == 0 })
	p.checkSums()
	p.stop()
}
