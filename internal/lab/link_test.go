package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A host works from the first packet on: nothing that the kernel does late, with
// links and addresses, makes anybody ask twice.
func TestFirstPacketsAreNotLost(t *testing.T) {
	l := newLab(t, Options{})
	out := newTap(t, l.Balancer)
	for i := 1; i <= 80; i++ {
		if err := l.addBackend(i, nil); err != nil {
			t.Fatal(err)
		}
		a := []netip.Addr{BackendAddr(i), BackendAddr6(i)}[i%2]
		if _, err := l.Balancer.Dial(t.Context(), "tcp", netip.AddrPortFrom(a, 9).String()); !errors.Is(err, unix.ECONNREFUSED) {
			t.Fatalf("%v: %v, want refused", a, err)
		}
		asked := 0
		for _, f := range out.sent(t) {
			p := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.NoCopy)
			if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok && arp.Operation == layers.ARPRequest && net.IP(arp.DstProtAddress).Equal(a.AsSlice()) {
				asked++
			}
			if ns, ok := p.Layer(layers.LayerTypeICMPv6NeighborSolicitation).(*layers.ICMPv6NeighborSolicitation); ok && ns.TargetAddress.Equal(a.AsSlice()) {
				asked++
			}
		}
		if asked != 1 {
			t.Fatalf("asked %d times for %v, want once", asked, a)
		}
	}
}

// A cable carries packets as soon as it is plugged in. All links are listed to see
// that: to ask for one alone would have the kernel catch up.
func TestCableIsUp(t *testing.T) {
	l := newLab(t, Options{})
	for i := range 40 {
		h, err := NewHost(fmt.Sprint("extra", i))
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if err := l.plug(h, 1); err != nil {
			t.Fatal(err)
		}
		for _, end := range []*Host{h, l.Switch} {
			links, err := end.Netlink().LinkList()
			if err != nil {
				t.Fatal(err)
			}
			for _, link := range links {
				if a := link.Attrs(); link.Type() == "veth" && a.OperState != netlink.OperUp {
					t.Fatalf("%s of %s is %v", a.Name, end.Name, a.OperState)
				}
			}
		}
	}
}

func TestQueues(t *testing.T) {
	for _, want := range []int{0, 1, 3} {
		l := newLab(t, Options{Queues: want})
		for _, end := range []struct {
			h    *Host
			name string
		}{{l.Balancer, Interface}, {l.Switch, port(l.Balancer)}} {
			i, err := end.h.Netlink().LinkByName(end.name)
			if err != nil {
				t.Fatal(err)
			}
			if a := i.Attrs(); a.NumRxQueues != max(want, 1) || a.NumTxQueues != max(want, 1) {
				t.Errorf("%d queues wanted, %s has %d to receive and %d to send", want, end.name, a.NumRxQueues, a.NumTxQueues)
			}
		}
	}
}

// Its interface taken away and given back, the balancer is reached again.
func TestPlugBalancer(t *testing.T) {
	l := newLab(t, Options{Queues: 2})
	if err := l.Balancer.UDPEcho(":7", "b"); err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(BalancerAddr(), 7)
	ask(t, l.Clients[0], at, "1", "b 1")
	i, err := l.Balancer.Netlink().LinkByName(Interface)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Balancer.Netlink().LinkDel(i); err != nil {
		t.Fatal(err)
	}
	if err := l.PlugBalancer(1); err != nil {
		t.Fatal(err)
	}
	// Fresh addresses on the other side too: nobody remembers the old MAC.
	if err := forget(l.Clients[0]); err != nil {
		t.Fatal(err)
	}
	ask(t, l.Clients[0], at, "2", "b 2")
}

// forget empties a host's neighbour table.
func forget(h *Host) error {
	list, err := h.Netlink().NeighList(0, netlink.FAMILY_V4)
	if err != nil {
		return err
	}
	for _, n := range list {
		if err := h.Netlink().NeighDel(&n); err != nil {
			return err
		}
	}
	return nil
}
