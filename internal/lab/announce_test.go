package lab

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// Who hears an announcement of an address that it knows believes it.
func TestAnnounce(t *testing.T) {
	l := newLab(t, Options{})
	link, err := l.Balancer.Netlink().LinkByName(Interface)
	if err != nil {
		t.Fatal(err)
	}
	c := l.Clients[0]
	for i, a := range []netip.Addr{ClientAddr(0), ClientAddr6(0)} {
		old := net.HardwareAddr{2, 0, 0, 0, 1, byte(i)}
		entry := &netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_REACHABLE, IP: a.AsSlice(), HardwareAddr: old}
		if err := l.Balancer.Netlink().NeighSet(entry); err != nil {
			t.Fatal(err)
		}
		mac := net.HardwareAddr{2, 0, 0, 0, 2, byte(i)}
		if err := c.SetMAC(Interface, mac); err != nil {
			t.Fatal(err)
		}
		if err := c.Announce(Interface, a); err != nil {
			t.Fatal(err)
		}
		err := poll(patience, func() error {
			list, err := l.Balancer.Netlink().NeighList(link.Attrs().Index, 0)
			if err == nil && !slices.ContainsFunc(list, func(n netlink.Neigh) bool {
				return n.IP.Equal(a.AsSlice()) && slices.Equal(n.HardwareAddr, mac)
			}) {
				err = errors.New("it is not believed")
			}
			return err
		})
		if err != nil {
			t.Errorf("%v is announced: %v", a, err)
		}
	}
	if err := c.Announce("nosuch0", ClientAddr(0)); err == nil {
		t.Error("announced by an interface that there is not")
	}
	if err := c.SetMAC("nosuch0", net.HardwareAddr{2, 0, 0, 0, 0, 1}); err == nil {
		t.Error("an interface that there is not has another MAC address")
	}
}
