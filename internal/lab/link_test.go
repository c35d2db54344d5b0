package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/testutil"
)

// A host works from the first packet on: nothing that the kernel does late, with
// links and addresses, makes anybody ask twice.
func TestFirstPacketsAreNotLost(t *testing.T) {
	// As for TestCableIsUp: before, now and then one is.
	testutil.RequireLinux(t, 6, 8, "a carrier that is up to date when it is asked for")
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
	// Commit facd15dfd691: before, the kernel gets there when it gets there.
	testutil.RequireLinux(t, 6, 8, "a carrier that is up to date when it is asked for")
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

// carrier reports whether a host's interface has a carrier.
func carrier(t *testing.T, h *Host) bool {
	t.Helper()
	link, err := h.Netlink().LinkByName(Interface)
	if err != nil {
		t.Fatal(err)
	}
	return link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
}

// An administrator's switch, a pulled cable, and a switch that is up and passes nothing
// on: each stops the balancer, only the last leaves it its carrier, and each is undone.
func TestLinksGoAndReturn(t *testing.T) {
	for _, c := range []struct {
		name    string
		set     func(*Lab, bool) error
		carrier bool
	}{
		{"balancer's end", func(l *Lab, on bool) error { return l.Balancer.SetLink(Interface, on) }, false},
		{"switch's end", func(l *Lab, on bool) error { return l.SetPort(l.Balancer, on) }, false},
		{"forwarding", func(l *Lab, on bool) error { return l.SetForwarding(l.Balancer, on) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, Options{})
			at := netip.AddrPortFrom(BalancerAddr(), 7).String()
			in, err := l.Balancer.ListenPacket("udp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			out, err := l.Clients[0].Dial(t.Context(), "udp", at)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			send := func(text string) {
				if _, err := out.Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			receive := func(want string) {
				_ = in.SetReadDeadline(time.Now().Add(5 * time.Second))
				b := make([]byte, 9)
				if n, _, err := in.ReadFrom(b); err != nil || string(b[:n]) != want {
					t.Errorf("got %q, %v; want %q", b[:n], err, want)
				}
			}
			send("1")
			receive("1")
			if err := c.set(l, false); err != nil {
				t.Fatal(err)
			}
			if got := carrier(t, l.Balancer); got != c.carrier {
				t.Errorf("switched off: carrier %v, want %v", got, c.carrier)
			}
			send("2")
			if err := c.set(l, true); err != nil {
				t.Fatal(err)
			}
			if !carrier(t, l.Balancer) {
				t.Error("switched on: no carrier")
			}
			send("3")
			receive("3") // and not 2, which is lost
		})
	}
	if err := newLab(t, Options{}).Balancer.SetLink("eth9", false); err == nil {
		t.Error("no error for an interface that there is not")
	}
}
