package lab

import (
	"net"
	"net/netip"
	"slices"
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

// A VRRP device takes frames for its own MAC address, beside the interface's.
func TestVRRPDevice(t *testing.T) {
	l := newLab(t, Options{})
	mac, vip := net.HardwareAddr{0, 0, 0x5e, 0, 1, 10}, nth(clients4, 200)
	if err := l.Balancer.AddVRRP("vrrp", mac); err != nil {
		t.Fatal(err)
	}
	if got := hardwareAddrOf(t, l.Balancer, "vrrp"); !slices.Equal(got, mac) {
		t.Errorf("the device's MAC address is %s", got)
	}
	if err := l.Balancer.AddAddrs("vrrp", in(clients4, 200)); err != nil {
		t.Fatal(err)
	}
	if err := l.Balancer.UDPEcho(netip.AddrPortFrom(vip, 7).String(), "b"); err != nil {
		t.Fatal(err)
	}
	client, err := l.Clients[0].Netlink().LinkByName(Interface)
	if err != nil {
		t.Fatal(err)
	}
	neighbour := &netlink.Neigh{LinkIndex: client.Attrs().Index, State: netlink.NUD_PERMANENT, IP: vip.AsSlice(), HardwareAddr: mac}
	if err := l.Clients[0].Netlink().NeighSet(neighbour); err != nil {
		t.Fatal(err)
	}
	ask(t, l.Clients[0], netip.AddrPortFrom(vip, 7), "1", "b 1")
	if err := l.Balancer.AddVRRP("vrrp", mac); err == nil {
		t.Error("made twice")
	}
}
