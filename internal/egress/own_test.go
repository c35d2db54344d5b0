package egress

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/lab"
)

// The own address towards whomever is the one that the kernel would send from.
func TestOwn(t *testing.T) {
	w := watch(t)
	balancer := w.lab.Balancer
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	device := w.Snapshot().Ports[0].Ifindex
	if err := balancer.AddAddrs("lo", prefix("10.0.0.77/32"), prefix("192.0.2.10/32")); err != nil {
		t.Fatal(err)
	}
	// Second ones, of which none is to be sent from.
	if err := balancer.AddAddrs(lab.Interface, prefix("10.0.0.9/24"), prefix("198.51.100.9/24")); err != nil {
		t.Fatal(err)
	}
	to := []netip.Addr{lab.BackendAddr(0), lab.BackendAddr6(0), lab.ClientAddr(0), lab.ClientAddr6(0), addr("203.0.114.7")}
	for n, route := range []netlink.Route{
		{Dst: netlink.NewIPNet(addr("203.0.113.0").AsSlice()), Gw: lab.BackendAddr(0).AsSlice(), Src: addr("10.0.0.77").AsSlice()},
		{Dst: netlink.NewIPNet(addr("203.0.113.1").AsSlice()), Gw: lab.BackendAddr(0).AsSlice()},
		{Dst: netlink.NewIPNet(addr("203.0.113.2").AsSlice()), Gw: lab.ClientAddr(0).AsSlice()},
		{Dst: netlink.NewIPNet(addr("203.0.113.3").AsSlice()), Via: &netlink.Via{AddrFamily: unix.AF_INET6, Addr: lab.BackendAddr6(1).AsSlice()}},
		{Dst: netlink.NewIPNet(addr("2001:db8:99::4").AsSlice()), Gw: lab.BackendAddr6(0).AsSlice()},
		{Dst: netlink.NewIPNet(addr("2001:db8:10:1::5").AsSlice()), Gw: lab.ClientAddr6(0).AsSlice()},
	} {
		route.LinkIndex = device
		if err := balancer.Netlink().RouteAdd(&route); err != nil {
			t.Fatalf("route %d: %v", n, err)
		}
		a, _ := netip.AddrFromSlice(route.Dst.IP)
		to = append(to, a.Unmap())
	}
	w.Set(to)
	s := w.until("own addresses", func(s Snapshot) bool { return s.Own[addr("203.0.113.0")] == addr("10.0.0.77") })
	for _, a := range to {
		var want netip.Addr
		if routes, err := balancer.Netlink().RouteGet(a.AsSlice()); err == nil {
			want, _ = netip.AddrFromSlice(routes[0].Src)
		}
		if got := s.Own[a]; got != want.Unmap() {
			t.Errorf("to %v: from %v, the kernel from %v", a, got, want)
		}
	}
}
