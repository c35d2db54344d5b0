package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// A backend behind two routers of equal cost: flows share them, and go by the one that is
// left when the other is lost.
func TestFieldSeveralNextHops(t *testing.T) {
	w := newWorld(t)
	far := w.farClient() // a server here
	if _, err := far.HTTPServer(fmt.Sprint(":", port), "far"); err != nil {
		t.Fatal(err)
	}
	clients4, clients6 := netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("2001:db8:100::/64")
	routers := w.lab.Backends[1:3]
	for i, h := range routers {
		w.route(h, clients4, own4, lab.Interface)
		w.route(h, clients6, own6, lab.Interface)
		// The last one is used: replies may come by another router than requests.
		w.route(far, clients4, netip.MustParseAddr("203.0.113.1"), fmt.Sprint("r", i))
		w.route(far, clients6, netip.MustParseAddr("2001:db8:ff::1"), fmt.Sprint("r", i))
		if err := errors.Join(h.Sysctl("net/ipv4/conf/all/rp_filter", "0"), far.Sysctl("net/ipv4/conf/all/rp_filter", "0")); err != nil {
			t.Fatal(err)
		}
	}
	for dst, via := range map[netip.Prefix]func(int) netip.Addr{beyond4: lab.BackendAddr, beyond6: lab.BackendAddr6} {
		if err := w.lab.Balancer.RouteBy(dst, lab.Interface, via(1), via(2)); err != nil {
			t.Fatal(err)
		}
	}
	// packets returns how many each router has handed on to the server.
	packets := func() (n [2]uint64) {
		for i, h := range routers {
			link, err := h.Netlink().LinkByName("far")
			if err != nil {
				t.Fatal(err)
			}
			n[i] = link.Attrs().Statistics.TxPackets
		}
		return n
	}
	p := w.serve(w.writeConfig("afxlb.yaml",
		fmt.Sprintf("  - {name: web, address: %s, port: %d, health: {type: none}, backends: [{name: far, address: 203.0.113.7}]}\n", natVIP4, port),
		fmt.Sprintf("  - {name: web6, address: %q, port: %d, health: {type: none}, backends: [{name: far, address: \"2001:db8:ff::7\"}]}\n", natVIP6, port)))
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		before := packets()
		w.mustAnswer(24, vip)
		now := packets()
		for i := range routers {
			if now[i]-before[i] < 10 {
				t.Errorf("%v: router %d has handed on %d packets, the other %d", vip, i, now[i]-before[i], now[1-i]-before[1-i])
			}
		}
	}

	generation := p.status().Generation
	if err := w.lab.SetForwarding(routers[0], false); err != nil { // and the server answers by the other
		t.Fatal(err)
	}
	for _, a := range []netip.Addr{lab.BackendAddr(1), lab.BackendAddr6(1)} {
		n := &netlink.Neigh{LinkIndex: w.interfaceOf(w.lab.Balancer).Index, IP: a.AsSlice()}
		if err := w.lab.Balancer.Netlink().NeighDel(n); err != nil {
			t.Fatal(err)
		}
		generation++
		p.await("lose a router", func(s api.Status) bool { return s.Generation >= generation })
	}
	w.mustAnswer(24, natVIP4)
	w.mustAnswer(24, natVIP6)
	p.await("stay", func(s api.Status) bool { return s.Backends.Up == 2 })
	p.stop()
}

// A next hop that is by an interface which is not served is no way; the other one is.
func TestFieldNextHopByAnotherInterface(t *testing.T) {
	w := newWorld(t)
	far := w.farClient()
	if _, err := far.HTTPServer(fmt.Sprint(":", port), "far"); err != nil {
		t.Fatal(err)
	}
	if err := w.lab.AddFar(); err != nil {
		t.Fatal(err)
	}
	clients := netip.MustParsePrefix("198.51.100.0/24")
	w.by(far, 0)
	w.route(far, clients, netip.MustParseAddr("203.0.113.1"), "r0")
	w.route(w.lab.Backends[1], clients, own4, lab.Interface)
	l, err := w.lab.Balancer.Netlink().LinkByName(lab.FarInterface)
	if err != nil {
		t.Fatal(err)
	}
	route := &netlink.Route{Dst: &net.IPNet{IP: beyond4.Addr().AsSlice(), Mask: net.CIDRMask(24, 32)}, MultiPath: []*netlink.NexthopInfo{
		{LinkIndex: l.Attrs().Index, Gw: lab.FarAddr().AsSlice()},
		{LinkIndex: w.interfaceOf(w.lab.Balancer).Index, Gw: lab.BackendAddr(1).AsSlice()},
	}}
	if err := w.lab.Balancer.Netlink().RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	p := w.serve(w.writeConfig("afxlb.yaml", fmt.Sprintf("  - {name: web, address: %s, port: %d, health: {type: none}, backends: [{name: far, address: 203.0.113.7}]}\n", natVIP4, port)))
	w.mustAnswer(20, natVIP4)
	route.MultiPath = slices.Delete(route.MultiPath, 1, 2)
	if err := w.lab.Balancer.Netlink().RouteReplace(route); err != nil {
		t.Fatal(err)
	}
	p.mustTell("far", "route is by eth1, which is not served")
	p.stop()
}

// A bridge above two served interfaces: each backend is reached by the one that it is behind,
// by the bridge's own table, and replies by the one that the client's packets came by.
func TestFieldBridgeAboveTwoPorts(t *testing.T) {
	w := newWorld(t)
	if err := w.lab.AddFar(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.lab.Far.HTTPServer(fmt.Sprint(":", port), "far"); err != nil {
		t.Fatal(err)
	}
	far4, far6 := netip.MustParseAddr("10.0.0.77"), netip.MustParseAddr("2001:db8:10::77")
	err := errors.Join(
		w.lab.Balancer.AddBridge("br0"), w.lab.Balancer.AddPort("br0", lab.FarInterface),
		w.lab.Far.AddAddrs(lab.Interface, netip.PrefixFrom(far4, 24), netip.PrefixFrom(far6, 64)),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to netip.Prefix
		by netip.Addr
	}{{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParseAddr("10.0.0.1")}, {netip.MustParsePrefix("2001:db8:100::/64"), netip.MustParseAddr("2001:db8:10::1")}} {
		w.route(w.lab.Far, c.to, c.by, lab.Interface)
	}
	upper, err := w.lab.Balancer.Netlink().LinkByName("br0")
	if err != nil {
		t.Fatal(err)
	}
	w.knowRouterBy(upper.Attrs().HardwareAddr)
	backends := func(near, far netip.Addr) string {
		return fmt.Sprintf("%s backends: [{name: b0, address: %q}, {name: far, address: %q}]", quickHealth, near, far)
	}
	p := w.serve(w.writeConfig("afxlb.yaml",
		fmt.Sprintf("  - {name: web, address: %s, port: %d, %s}\n", natVIP4, port, backends(lab.BackendAddr(0), far4)),
		fmt.Sprintf("  - {name: web6, address: %q, port: %d, %s}\n", natVIP6, port, backends(lab.BackendAddr6(0), far6))),
		"--interface", lab.Interface+","+lab.FarInterface)
	for _, vip := range []netip.Addr{natVIP4, natVIP6} {
		if by := w.mustAnswer(20, vip); by["b0"] != 10 || by["far"] != 10 {
			t.Errorf("%v is answered by %v", vip, by)
		}
	}
	p.stop()
}
