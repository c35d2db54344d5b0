package lab

import (
	"errors"
	"net/netip"
	"testing"
)

// The far backend is reached, by the second cable, and by nothing else.
func TestAddFar(t *testing.T) {
	l := newLab(t, Options{})
	if err := l.AddFar(); err != nil {
		t.Fatal(err)
	}
	second, err := l.Balancer.Netlink().LinkByName(FarInterface)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Far.UDPEcho(":7", "far"); err != nil {
		t.Fatal(err)
	}
	for _, a := range []netip.Addr{FarAddr(), FarAddr6()} {
		found, err := l.Balancer.Netlink().RouteGet(a.AsSlice())
		if err != nil || found[0].LinkIndex != second.Attrs().Index {
			t.Errorf("the way to %v: %v, %v; want by %s", a, found, err, FarInterface)
		}
		ask(t, l.Balancer, netip.AddrPortFrom(a, 7), "1", "far 1")
	}
	for a, gw := range map[netip.Addr]netip.Addr{ClientAddr(0): nth(far4, gateway), ClientAddr6(0): nth(far6, gateway)} {
		if found, err := l.Far.Netlink().RouteGet(a.AsSlice()); err != nil || !found[0].Gw.Equal(gw.AsSlice()) {
			t.Errorf("the way back to %v: %v, %v; want by %v", a, found, err, gw)
		}
	}
}

// A balancer that forwards is a router between its interfaces; a route takes the place of
// the one before.
func TestForwardAndRoute(t *testing.T) {
	l := newLab(t, Options{})
	if err := errors.Join(l.AddFar(), l.Balancer.Forward(), l.Far.UDPEcho(":7", "far")); err != nil {
		t.Fatal(err)
	}
	c := l.Clients[0]
	for to, gateways := range map[netip.Addr][2]netip.Addr{
		FarAddr():  {nth(clients4, 99), nth(clients4, gateway)},
		FarAddr6(): {nth(clients6, 99), nth(clients6, gateway)},
	} {
		for _, by := range gateways { // the first is nobody's
			if err := c.Route(netip.PrefixFrom(to, to.BitLen()), by, Interface); err != nil {
				t.Fatal(err)
			}
		}
		ask(t, c, netip.AddrPortFrom(to, 7), "1", "far 1")
	}
	if err := c.Route(far4, nth(clients4, gateway), "nosuch0"); err == nil {
		t.Error("a route by an interface that there is not")
	}
}
