package main

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
)

// A client learns what fits into a tunnel: of the balancer what its own link leaves, and of a
// router on the way, by the balancer, what a link there does. So does the backend of what is
// on its way to the client.
func TestFieldPathMTUInTunnels(t *testing.T) {
	w := newWorld(t)
	server := w.addBeyond(w.lab.Backends[0], 1, 1400)
	w.reach(server, w.lab.Balancer, lab.BackendAddr(0), lab.BackendAddr6(0))
	// What is wrong with an answer is for the service's address, and so the balancer's to pass
	// on, in the tunnel.
	w.route(server.near, netip.MustParsePrefix("192.0.2.0/24"), own4, lab.Interface)
	w.route(server.near, netip.MustParsePrefix("2001:db8:2::/64"), own6, lab.Interface)
	if err := server.Decapsulate(); err != nil {
		t.Fatal(err)
	}
	w.listenStream(server.Host, "bb")
	var list []tunnelled
	var config []string
	for _, s := range tunnels() {
		if strings.HasPrefix(s.name, "spread") {
			continue // routers would need a way to all of its sources
		}
		if err := server.AddAddrs("lo", netip.PrefixFrom(s.vip, s.vip.BitLen())); err != nil {
			t.Fatal(err)
		}
		end := server.addr4
		if s.outer6 {
			end = server.addr6
		}
		config = append(config, entry(s.name, s.vip, streamPort, s.keys+", health: {type: none},", fmt.Sprintf("{address: %q}", end)))
		list = append(list, s)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", config...))
	for _, s := range list {
		before := p.counter("packets", "replied")
		if err := w.transferFrom(w.lab.Clients[0], netip.AddrPortFrom(s.vip, streamPort), patience); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		if n := p.counter("packets", "replied") - before; n < 2 { // of the balancer's own link, and of the narrow one
			t.Errorf("%s: told %d times", s.name, n)
		}
	}
	p.checkSums()
	if n := p.counter("packets", "icmp"); n != 0 {
		t.Errorf("%d ICMP errors were dropped", n)
	}
	p.stop()
}
