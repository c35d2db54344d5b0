package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

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

// awaitHeld waits until a backend is up, or down for want of the service's address.
func (p *process) awaitHeld(service, backend string, vip netip.Addr, held bool) {
	p.t.Helper()
	want := "down"
	if held {
		want = "up"
	}
	p.await(fmt.Sprintf("call %s/%s %s", service, backend, want), func(api.Status) bool { return p.backend(service, backend).State == want })
	if b := p.backend(service, backend); !held && !strings.Contains(b.Check, fmt.Sprintf(" have %v on lo?", vip)) {
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
			entry("guarded-"+name, vip, guardedPort, "mode: dsr, "+quickHealth, backendsOf(vip)...))
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
	check := fmt.Sprintf("health: {type: http, port: %d, path: /, %s},", port, quickly)
	checked := func(name string, ports any, protocol string) string {
		return entry(name, dsrVIP4, ports, fmt.Sprintf("protocol: %s, mode: dsr, %s", protocol, check), backendsOf(dsrVIP4)...)
	}
	config := w.writeConfig("afxlb.yaml", checked("range", "8000-8090", "tcp"), checked("outside", "9000-9999", "tcp"),
		checked("datagrams", closed, "udp"), checked("unserved", closed, "tcp"))
	p := w.start(nil, "--config", config)
	for _, name := range []string{"range", "outside", "datagrams"} {
		p.awaitHeld(name, "b1", dsrVIP4, false)
		p.awaitHeld(name, "b0", dsrVIP4, true)
		p.awaitHeld(name, "b2", dsrVIP4, true)
	}
	p.await("see that a port of clients' is closed", func(api.Status) bool { return p.backend("unserved", "b0").State == "down" })
	if got := p.backend("unserved", "b0").Check; !strings.Contains(got, fmt.Sprintf("does the server of %v listen on %v:%d?", lab.BackendAddr(0), dsrVIP4, closed)) {
		t.Errorf("the check says %q", got)
	}
	p.stop()
}

// A backend that lost the address may forward what is for it: by its router, back to the
// balancer, which must not have another backend answer in its stead.
func TestFieldBackendForwardsForTheVIP(t *testing.T) {
	w := newWorld(t)
	b1 := w.lab.Backends[1]
	w.forward(b1)
	for vip, balancer := range map[netip.Addr]netip.Addr{dsrVIP4: own4, dsrVIP6: own6} {
		on := netip.PrefixFrom(vip, vip.BitLen())
		if err := b1.DelAddrs("lo", on); err != nil {
			t.Fatal(err)
		}
		w.route(b1, on, balancer, lab.Interface)
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
		return p.backend("web", "b1").State == "down" && p.backend("web6", "b1").State == "down"
	})
	p.stop()
}
