package main

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"

	"github.com/afxlb/afxlb/internal/lab"
)

// mixed is the entry of a service with full NAT and backends of the family that the service
// is not of: b0, b1 and b2, unless others are named.
func mixed(name string, vip netip.Addr, at int, keys string, backends ...string) string {
	source, other := more6, fullVIP6
	if vip.Is6() {
		source, other = more4, fullVIP4
	}
	if backends == nil {
		backends = backendsOf(other)
	}
	return entry(name, vip, at, snatKeys(source)+keys, backends...)
}

// Clients of each family are served by backends that speak only the other one: connections,
// datagrams, and as much as fits, both ways.
func TestFieldFullNATBetweenFamilies(t *testing.T) {
	w := newWorld(t)
	w.unroute()
	w.addSources(more4, more6)
	w.listenDatagrams()
	w.listenStreams()
	const none = "health: {type: none},"
	var services []string
	for name, vip := range map[string]netip.Addr{"4": fullVIP4, "6": fullVIP6} {
		services = append(services, mixed("web"+name, vip, port, quickHealth), mixed("streams"+name, vip, streamPort, quickHealth),
			mixed("dns"+name, vip, port, "protocol: udp, "+none), mixed("closed"+name, vip, closedPort, "protocol: udp, "+none))
	}
	p := w.serve(w.writeConfig("afxlb.yaml", services...))
	for _, vip := range []netip.Addr{fullVIP4, fullVIP6} {
		w.mustReachAll(vip, 20)
		if err := w.transferFrom(w.lab.Clients[0], netip.AddrPortFrom(vip, streamPort), patience); err != nil {
			t.Errorf("%v: %v", vip, err)
		}
		for _, size := range []int{1400, 4000, 20000} { // in fragments that fill their link, for IPv6 to have more of them
			if _, err := w.askUnconnected(w.lab.Clients[0], clientAddr(vip), netip.AddrPortFrom(vip, port), size); err != nil {
				t.Errorf("%v: a datagram of %d bytes: %v", vip, size, err)
			}
		}
		if _, err := w.askOnce(w.lab.Clients[0], "udp", netip.AddrPortFrom(vip, closedPort)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v: a closed port says %v, want it refused", vip, err)
		}
	}
	p.checkSums()
	p.stop()
}

// clientAddr is client 0's address of a service's family.
func clientAddr(vip netip.Addr) netip.Addr {
	if vip.Is6() {
		return lab.ClientAddr6(0)
	}
	return lab.ClientAddr(0)
}

// Each end learns of a link that takes less on the other family's side: a megabyte goes
// there and back, whichever end is behind it.
func TestFieldPathMTUBetweenFamilies(t *testing.T) {
	w := newWorld(t)
	w.addSources(more4, more6)
	w.listenStreams()
	server, client := w.addBeyond(w.lab.Backends[0], 1, 1300), w.addBeyond(w.lab.Clients[0], 2, 1300)
	w.listenStream(server.Host, "bb")
	w.reach(server, w.lab.Balancer, lab.BackendAddr(0), lab.BackendAddr6(0))
	w.reach(client, w.lab.Balancer, lab.ClientAddr(0), lab.ClientAddr6(0))
	const none, far = "health: {type: none},", 9001
	behind := func(a netip.Addr) string { return fmt.Sprintf("{address: %q, port: %d}", a, streamPort) }
	p := w.serve(w.writeConfig("afxlb.yaml",
		mixed("near4", fullVIP4, streamPort, none), mixed("near6", fullVIP6, streamPort, none),
		mixed("far4", fullVIP4, far, none, behind(server.addr6)), mixed("far6", fullVIP6, far, none, behind(server.addr4))))
	for _, vip := range []netip.Addr{fullVIP4, fullVIP6} {
		for _, c := range []struct {
			from *lab.Host
			at   uint16
		}{{client.Host, streamPort}, {w.lab.Clients[0], far}, {client.Host, far}} {
			if err := w.transferFrom(c.from, netip.AddrPortFrom(vip, c.at), patience); err != nil {
				t.Errorf("%s to %v, port %d: %v", c.from.Name, vip, c.at, err)
			}
		}
	}
	p.checkSums()
	if n := p.counter("packets", "icmp"); n != 0 {
		t.Errorf("%d ICMP errors were dropped", n)
	}
	p.stop()
}
