package main

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// Of two balancers each gets some of what is to a service, by addresses that say nothing of
// flows where a router sends an error. With maglev, that finds its backend all the same: here
// all requests go by one, and all errors by the other.
func TestFieldPathMTUByAnotherBalancer(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	beside := w.second()
	client := w.addBeyond(w.lab.Clients[0], 1, 1300)
	second4, second6 := netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("2001:db8:100::2")
	for _, h := range w.lab.Backends {
		w.reach(client, h, own4, own6)
	}
	w.answerBeyond(client)
	for _, balancer := range []*lab.Host{w.lab.Balancer, beside.lab.Balancer} {
		w.reach(client, balancer, lab.ClientAddr(0), lab.ClientAddr6(0))
	}
	// Client 0 is the router in front. What itself sends goes by the second balancer.
	w.routeOwn(w.lab.Clients[0], netip.MustParsePrefix("192.0.2.0/24"), second4)
	w.routeOwn(w.lab.Clients[0], netip.MustParsePrefix("2001:db8:2::/64"), second6)
	const maglev = "algorithm: maglev, health: {type: none},"
	vips := map[string]netip.Addr{"nat4": natVIP4, "nat6": natVIP6, "dsr4": dsrVIP4, "dsr6": dsrVIP6}
	var services []string
	for name, vip := range vips {
		services = append(services, streamService(name, vip, name[:3], maglev))
	}
	config := w.writeConfig("afxlb.yaml", services...)
	first, second := w.serve(config), beside.serve(config)
	for name, vip := range vips {
		before := second.counter("packets", "forwarded")
		if err := w.transferFrom(client.Host, netip.AddrPortFrom(vip, streamPort), patience); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		second.await("forward an error", func(api.Status) bool { return second.counter("packets", "forwarded") > before })
	}
	for _, p := range []*process{first, second} {
		p.checkSums()
		p.stop()
	}
}

// routeOwn has a host reach the services by way of a gateway, but for what it passes on for
// others: rules know what is its own by the interface that it comes by.
func (w *world) routeOwn(h *lab.Host, vips netip.Prefix, by netip.Addr) {
	w.t.Helper()
	const table = 101
	rule := netlink.NewRule()
	rule.IifName, rule.Table, rule.Family = "lo", table, unix.AF_INET
	if by.Is6() {
		rule.Family = unix.AF_INET6
	}
	_, dst, err := net.ParseCIDR(vips.String())
	if err == nil {
		err = h.Netlink().RuleAdd(rule)
	}
	if err == nil {
		err = h.Netlink().RouteReplace(&netlink.Route{LinkIndex: w.interfaceOf(h).Index, Dst: dst, Gw: by.AsSlice(), Table: table})
	}
	if err != nil {
		w.t.Fatal(err)
	}
}
