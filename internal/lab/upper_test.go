package lab

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// With its addresses on an upper device, the balancer is reached there.
func TestUpperDevices(t *testing.T) {
	for name, add := range map[string]func(*Host, string) error{"br0": (*Host).AddBridge, "mv0": (*Host).AddMacvlan} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, Options{})
			if err := l.Balancer.UDPEcho(":7", "b"); err != nil {
				t.Fatal(err)
			}
			if err := add(l.Balancer, name); err != nil {
				t.Fatal(err)
			}
			upper, err := l.Balancer.Netlink().LinkByName(name)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range []netip.Addr{BackendAddr(0), BackendAddr6(0)} {
				if found, err := l.Balancer.Netlink().RouteGet(a.AsSlice()); err != nil || found[0].LinkIndex != upper.Attrs().Index {
					t.Errorf("the way to %v: %v, %v; want by %s", a, found, err, name)
				}
			}
			lower, err := l.Balancer.Netlink().LinkByName(Interface)
			if err != nil {
				t.Fatal(err)
			}
			if left, err := l.Balancer.Netlink().AddrList(lower, netlink.FAMILY_V4); err != nil || len(left) > 0 {
				t.Errorf("left on %s: %v, %v", Interface, left, err)
			}
			ask(t, l.Clients[0], netip.AddrPortFrom(BalancerAddr(), 7), "1", "b 1")
			if err := add(l.Balancer, name); err == nil {
				t.Error("made twice")
			}
		})
	}
}
