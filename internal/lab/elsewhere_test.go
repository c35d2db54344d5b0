package lab

import (
	"net"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestMoveAwayAndBack(t *testing.T) {
	l := newLab(t, Options{})
	look := func() (index int, mac net.HardwareAddr, addrs []netlink.Addr) {
		link, err := l.Balancer.link.LinkByName(Interface)
		if err != nil {
			t.Fatal(err)
		}
		addrs, err = l.Balancer.link.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		return link.Attrs().Index, link.Attrs().HardwareAddr, addrs
	}
	index, mac, addrs := look()
	if err := l.Balancer.MoveAwayAndBack(Interface, l.Switch); err != nil {
		t.Fatal(err)
	}
	_, again, now := look()
	if index == 0 || !slices.Equal(mac, again) || len(global(now)) != len(global(addrs)) || len(global(addrs)) == 0 {
		t.Errorf("%v with %v came back as %v with %v", mac, addrs, again, now)
	}
	if err := l.Balancer.MoveAwayAndBack("nosuch0", l.Switch); err == nil {
		t.Error("what is not there was moved")
	}
}
