package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/lab"
)

// Addresses on the clients' own link, which find them by ARP and neighbour discovery.
var linkVIP4, linkVIP6 = sibling(lab.ClientAddr(0)), sibling(lab.ClientAddr6(0))

// sibling returns an address in the network of a that nobody has.
func sibling(a netip.Addr) netip.Addr {
	b := a.AsSlice()
	b[len(b)-1] = 200
	s, _ := netip.AddrFromSlice(b)
	return s
}

// held returns the devices of the balancer that have an address.
func (w *world) held(a netip.Addr) (names []string) {
	w.t.Helper()
	links, err := w.lab.Balancer.Netlink().LinkList()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, l := range links {
		list, err := w.lab.Balancer.Netlink().AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, has := range list {
			if has.IP.Equal(a.AsSlice()) {
				names = append(names, l.Attrs().Name)
			}
		}
	}
	return names
}

// awaitHolder waits until just one device has each address, or none if it is empty.
func (w *world) awaitHolder(device string, list ...netip.Addr) {
	w.t.Helper()
	var want []string
	if device != "" {
		want = []string{device}
	}
	for _, a := range list {
		for end := time.Now().Add(patience); !slices.Equal(w.held(a), want); time.Sleep(poll) {
			if time.Now().After(end) {
				w.t.Fatalf("%v is on %q, want %q", a, w.held(a), want)
			}
		}
	}
}

// awaitTold waits until the link is told who has an address, by a gratuitous ARP request or
// an advertisement to all nodes.
func awaitTold(t *testing.T, tap *lab.Wiretap, mac net.HardwareAddr, a netip.Addr) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		f, err := tap.Next(time.Until(end))
		if err != nil {
			t.Fatalf("nobody is told of %v: %v", a, err)
		}
		sender := bytes.Equal(f[6:12], mac)
		if a.Is4() && sender && len(f) >= 42 && f[12] == 8 && f[13] == 6 && bytes.Equal(f[22:28], mac) && bytes.Equal(f[28:32], a.AsSlice()) && bytes.Equal(f[38:42], a.AsSlice()) {
			return
		}
		if a.Is6() && sender && len(f) >= 86 && f[12] == 0x86 && f[20] == 58 && f[54] == 136 && bytes.Equal(f[62:78], a.AsSlice()) && bytes.Equal(f[80:86], mac) && f[0] == 0x33 {
			return
		}
	}
}

// An address is the machine's while a backend is in rotation, and the link is told; another
// machine that has it is told of; and nothing is left behind, however the balancer ends.
func TestFieldAnnounce(t *testing.T) {
	w := newWorld(t)
	w.listenStreams()
	all := []netip.Addr{linkVIP4, linkVIP6, natVIP4, natVIP6}
	config := w.writeConfig("afxlb.yaml",
		service("arp4", linkVIP4, "nat", "tcp", "announce: arp, "+quickHealth), service("arp6", linkVIP6, "nat", "tcp", "announce: arp, "+quickHealth),
		streamService("besides", linkVIP4, "nat", fmt.Sprintf("algorithm: maglev, health: {type: tcp, port: %d, %s},", port, quickly)),
		service("local4", natVIP4, "nat", "tcp", "announce: local, "+quickHealth), service("local6", natVIP6, "nat", "tcp", "announce: local, "+quickHealth),
	)
	here := w.interfaceOf(w.lab.Balancer)
	tap, err := w.lab.Wiretap()
	if err != nil {
		t.Fatal(err)
	}
	p := w.serve(config)
	awaitTold(t, tap, here.HardwareAddr, linkVIP4)
	awaitTold(t, tap, here.HardwareAddr, linkVIP6)
	w.awaitHolder(lab.Interface, linkVIP4, linkVIP6)
	w.awaitHolder("afxlb0", natVIP4, natVIP6)
	for _, a := range all {
		w.mustAnswer(3, a)
	}

	for _, s := range w.web {
		s.Kill()
	}
	w.awaitHolder("", all...)
	p.awaitEvent("a withdrawal", func(e *api.Event) bool { return e.Kind == events.Announce && e.Over && e.Address == natVIP6.String() })
	for i := range w.web {
		w.restart(i)
	}
	awaitTold(t, tap, here.HardwareAddr, linkVIP4)
	w.awaitHolder(lab.Interface, linkVIP4, linkVIP6)
	w.awaitHolder("afxlb0", natVIP4, natVIP6)

	// Another machine says that it has them. The balancer says otherwise, once.
	for _, a := range []netip.Addr{linkVIP4, linkVIP6} {
		if err := w.lab.Clients[0].Announce(lab.Interface, a); err != nil {
			t.Fatal(err)
		}
		p.awaitEvent("a conflict", func(e *api.Event) bool { return e.Kind == events.AddressConflict && e.Address == a.String() })
		awaitTold(t, tap, here.HardwareAddr, a)
	}
	p.await("warn of it", func(s api.Status) bool {
		return slices.ContainsFunc(s.Warnings, func(w api.Warning) bool {
			return w.Code == "address-conflict" && strings.Contains(w.Text, linkVIP4.String())
		})
	})
	w.awaitHolder(lab.Interface, linkVIP4, linkVIP6)

	// The addresses go before the workers do, and come after them: else the kernel would answer
	// for them, and reset what there is.
	p.await("have all", func(s api.Status) bool { return s.Backends.Up == s.Backends.Total })
	s := w.openStreams(40, linkVIP4)
	p.stop()
	w.awaitHolder("", all...)
	p = w.start(nil, "--config", config)
	w.awaitHolder(lab.Interface, linkVIP4, linkVIP6)
	s.mustLive("after a restart")
	s.close()

	// After kill -9 the device is gone, and the next start, by whatever socket, finds the rest.
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.exit()
	w.awaitHolder("", natVIP4, natVIP6)
	w.awaitHolder(lab.Interface, linkVIP4, linkVIP6)
	theirs := netip.PrefixFrom(sibling(linkVIP4).Next(), 32)
	if err := w.lab.Balancer.AddAddrs(lab.Interface, theirs); err != nil {
		t.Fatal(err)
	}
	bare := w.start(nil, "--config", w.writeConfig("bare.yaml", service("web", natVIP4, "nat", "tcp", quickHealth)))
	bare.await("serve", func(s api.Status) bool { return s.State == "serving" })
	w.awaitHolder("", all...)
	w.awaitHolder(lab.Interface, theirs.Addr())
	bare.stop()

	// Who has the address already keeps it.
	if err := w.lab.Clients[0].AddAddrs(lab.Interface, netip.PrefixFrom(linkVIP4, 32), netip.PrefixFrom(linkVIP6, 128)); err != nil {
		t.Fatal(err)
	}
	p = w.start(nil, "--config", config)
	for _, a := range []netip.Addr{linkVIP4, linkVIP6} {
		p.awaitEvent("who has it", func(e *api.Event) bool {
			return e.Kind == events.AddressConflict && e.Address == a.String() && strings.Contains(e.Reason, w.interfaceOf(w.lab.Clients[0]).HardwareAddr.String())
		})
	}
	w.awaitHolder("", linkVIP4, linkVIP6)
	w.awaitHolder("afxlb0", natVIP4, natVIP6)
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.exit(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	w.awaitHolder("", all...)
	if l, err := w.lab.Balancer.Netlink().LinkByName("afxlb0"); err == nil {
		t.Errorf("%s is left behind", l.Attrs().Name)
	}
}
