package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// guarded is a server that takes note of how its connections end.
type guarded struct {
	mu      sync.Mutex
	here    map[netip.Addr]int // connections, by the address that they were made to
	aborted []error
}

// guard starts such a server on each backend.
func (w *world) guard(port int) (list []*guarded) {
	w.t.Helper()
	for _, h := range w.lab.Backends {
		g := &guarded{here: map[netip.Addr]int{}}
		list = append(list, g)
		err := h.ServeTCP(fmt.Sprint(":", port), func(c net.Conn) {
			_, err := io.Copy(io.Discard, c)
			g.note(netip.MustParseAddrPort(c.LocalAddr().String()).Addr().Unmap(), err)
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return list
}

func (g *guarded) note(a netip.Addr, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.here[a]++
	if err != nil {
		g.aborted = append(g.aborted, err)
	}
}

// backendOf returns what the daemon says of a backend.
func (p *process) backendOf(service, name string) api.Backend {
	p.t.Helper()
	list, err := p.api.Backends(p.t.Context(), service)
	if err != nil {
		p.t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(b api.Backend) bool { return b.Name == name })
	if i < 0 {
		p.t.Fatalf("no backend %s in %+v", name, list)
	}
	return list[i]
}

// awaitHeld waits until a backend is up, or down for want of the service's address.
func (p *process) awaitHeld(service, backend string, vip netip.Addr, held bool) {
	p.t.Helper()
	want := "down"
	if held {
		want = "up"
	}
	p.await(fmt.Sprintf("call %s/%s %s", service, backend, want), func(api.Status) bool { return p.backendOf(service, backend).State == want })
	if b := p.backendOf(service, backend); !held && !strings.Contains(b.Check, fmt.Sprintf(" have %v on lo?", vip)) {
		p.t.Errorf("the check of %s/%s says %q", service, backend, b.Check)
	}
}

// C42: a dsr backend that does not hold the service's address passes the check of its own
// one, and is a black hole. It is asked on the clients' road; no server notices.
func TestFieldBackendWithoutTheVIP(t *testing.T) {
	w := newWorld(t)
	const guardedPort = 9100
	guards := w.guard(guardedPort)
	vips := map[string]netip.Addr{"web": dsrVIP4, "web6": dsrVIP6}
	config := []string{}
	for name, vip := range vips {
		config = append(config, service(name, vip, "dsr", "tcp", quickHealth),
			strings.ReplaceAll(service("guarded-"+name, vip, "dsr", "tcp", quickHealth), fmt.Sprintf("port: %d", port), fmt.Sprintf("port: %d", guardedPort)))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", config...))
	for name, vip := range vips {
		if by := w.mustAnswer(9, vip); len(by) != 3 {
			t.Errorf("%s: answered by %v, want all three", name, by)
		}
		on := netip.PrefixFrom(vip, vip.BitLen())
		if err := w.lab.Backends[1].DelAddrs("lo", on); err != nil {
			t.Fatal(err)
		}
		p.awaitHeld(name, "b1", vip, false)
		if by := w.mustAnswer(9, vip); by["b0"] == 0 || by["b1"] != 0 || by["b2"] == 0 {
			t.Errorf("%s, without the address on b1: answered by %v", name, by)
		}
		if n := p.awaitLines(1, `WARN.*backend is down.*"service": "`+name+`", "backend": "b1".*on lo\?`); n != 1 {
			t.Errorf("%s: %d lines tell of b1", name, n)
		}
		if err := w.lab.Backends[1].AddAddrs("lo", on); err != nil {
			t.Fatal(err)
		}
		p.awaitHeld(name, "b1", vip, true)
		if by := w.mustAnswer(9, vip); len(by) != 3 {
			t.Errorf("%s, with the address again: answered by %v", name, by)
		}
	}
	p.stop()
	for i, g := range guards {
		g.mu.Lock()
		for _, vip := range vips {
			if g.here[vip] != 0 {
				t.Errorf("the server of b%d was connected to %d times at %v, where nobody was", i, g.here[vip], vip)
			}
		}
		if own := lab.BackendAddr(i); g.here[own] == 0 || len(g.aborted) != 0 {
			t.Errorf("the server of b%d saw %d checks and these ends: %v", i, g.here[own], g.aborted)
		}
		g.mu.Unlock()
	}
}

// What is asked on the clients' road follows from the service: its port, or where there
// are several, or these are UDP's, the check's.
func TestFieldBackendWithoutTheVIPFromTheStart(t *testing.T) {
	w := newWorld(t)
	if err := w.lab.Backends[1].DelAddrs("lo", netip.PrefixFrom(dsrVIP4, 32)); err != nil {
		t.Fatal(err)
	}
	// The balancer holds the address, too, as one that answers ARP for it does.
	if err := w.lab.Balancer.AddAddrs(lab.Interface, netip.PrefixFrom(dsrVIP4, 32)); err != nil {
		t.Fatal(err)
	}
	const closed = 9 // on which nobody listens, and no client needs it
	check := func(port int) string {
		return fmt.Sprintf("health: {type: http, port: %d, path: /, interval: 200ms, timeout: 200ms, rise: 2, fall: 2},", port)
	}
	config := w.writeConfig("afxlb.yaml",
		strings.ReplaceAll(service("range", dsrVIP4, "dsr", "tcp", check(port)), fmt.Sprintf("port: %d, protocol", port), "port: 8000-8090, protocol"),
		strings.ReplaceAll(service("outside", dsrVIP4, "dsr", "tcp", check(port)), fmt.Sprintf("port: %d, protocol", port), "port: 9000-9999, protocol"),
		strings.ReplaceAll(service("datagrams", dsrVIP4, "dsr", "udp", check(port)), fmt.Sprintf("port: %d, protocol", port), fmt.Sprintf("port: %d, protocol", closed)),
		strings.ReplaceAll(service("unserved", dsrVIP4, "dsr", "tcp", check(port)), fmt.Sprintf("port: %d, protocol", port), fmt.Sprintf("port: %d, protocol", closed)))
	p := w.start(nil, "--config", config)
	for _, name := range []string{"range", "outside", "datagrams"} {
		p.awaitHeld(name, "b1", dsrVIP4, false)
		p.awaitHeld(name, "b0", dsrVIP4, true)
		p.awaitHeld(name, "b2", dsrVIP4, true)
	}
	p.await("see that a port of clients' is closed", func(api.Status) bool { return p.backendOf("unserved", "b0").State == "down" })
	if got := p.backendOf("unserved", "b0").Check; !strings.Contains(got, fmt.Sprintf("does the server of %v listen on %v:%d?", lab.BackendAddr(0), dsrVIP4, closed)) {
		t.Errorf("the check says %q", got)
	}
	p.stop()
}

// A backend that lost the address may forward what is for it: by its router, back to the
// balancer, which must not have another backend answer in its stead.
func TestFieldBackendForwardsForTheVIP(t *testing.T) {
	w := newWorld(t)
	b1 := w.lab.Backends[1]
	for _, s := range []string{"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"} {
		if err := b1.Sysctl(s, "1"); err != nil {
			t.Fatal(err)
		}
	}
	balancers := map[netip.Addr]string{dsrVIP4: "10.0.0.1", dsrVIP6: "2001:db8:10::1"}
	for vip, balancer := range balancers {
		if err := b1.DelAddrs("lo", netip.PrefixFrom(vip, vip.BitLen())); err != nil {
			t.Fatal(err)
		}
		to := &net.IPNet{IP: vip.AsSlice(), Mask: net.CIDRMask(vip.BitLen(), vip.BitLen())}
		if err := b1.Netlink().RouteAdd(&netlink.Route{Dst: to, Gw: net.ParseIP(balancer)}); err != nil {
			t.Fatal(err)
		}
	}
	p := w.start(nil, "--config", w.writeConfig("afxlb.yaml",
		service("web", dsrVIP4, "dsr", "tcp", quickHealth), service("web6", dsrVIP6, "dsr", "tcp", quickHealth)))
	for name, vip := range map[string]netip.Addr{"web": dsrVIP4, "web6": dsrVIP6} {
		p.awaitHeld(name, "b1", vip, false)
		p.awaitHeld(name, "b0", vip, true)
		if by := w.mustAnswer(9, vip); by["b1"] != 0 {
			t.Errorf("%s: answered by %v", name, by)
		}
	}
	p.stays(2e9, "down", func(api.Status) bool {
		return p.backendOf("web", "b1").State == "down" && p.backendOf("web6", "b1").State == "down"
	})
	p.stop()
}
