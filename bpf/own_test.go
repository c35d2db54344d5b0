package bpf

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// openOwn opens a socket of the machine's own in the test's namespace, of which the
// addresses are to be on the loopback. A connected TCP socket comes about without a
// packet, and goes without one (TCP_REPAIR).
func openOwn(t testing.TB, o ownSocket) {
	t.Helper()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %+v: %v", what, o, err)
		}
	}
	family, kind := unix.AF_INET6, unix.SOCK_STREAM
	if o.local.Addr().Is4() {
		family = unix.AF_INET
	}
	if o.protocol == UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	check("socket", err)
	t.Cleanup(func() { unix.Close(fd) })
	check("share the port", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	if family == unix.AF_INET6 {
		check("no IPv4", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1))
	}
	if o.protocol == TCP && o.remote.IsValid() {
		check("repair", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR, 1))
	}
	check("bind", unix.Bind(fd, sockaddr(o.local)))
	switch {
	case o.remote.IsValid():
		check("connect", unix.Connect(fd, sockaddr(o.remote)))
	case o.protocol == TCP:
		check("listen", unix.Listen(fd, 1))
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// addLoopback puts addresses on the namespace's loopback.
func addLoopback(t testing.TB, addrs ...netip.Addr) {
	t.Helper()
	lo := linkByName(t, "lo")
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		n := netlink.NewIPNet(a.AsSlice())
		if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: n, Flags: unix.IFA_F_NODAD}); err != nil {
			t.Fatalf("add %s: %v", a, err)
		}
	}
}

// TestOwnSockets: a service on an address of this machine's own leaves the machine's own
// connections alone, in either family: those that are exactly the packet's, and within
// a range of ports what is bound to one. It has its listeners' ports.
func TestOwnSockets(t *testing.T) {
	for _, f := range []struct{ own, elsewhere, client, other string }{
		{own4, any4, client4, other4}, {own6, any6, client6, other6},
	} {
		own, elsewhere := ip(f.own), ip(f.elsewhere)
		s := Steering{Local: []netip.Addr{own}, Ephemeral: Ports{32768, 60999}}
		for _, protocol := range []uint8{TCP, UDP} {
			s.Services = append(s.Services,
				Service{own, protocol, 443, 443}, Service{own, protocol, 40000, 40000}, Service{own, protocol, 50000, 50999},
				Service{elsewhere, protocol, 0, 65535})
		}
		p := loadWithSocket(t, s)
		addLoopback(t, own, elsewhere, ip(f.client))
		at := netip.AddrPortFrom
		client, everywhere := at(ip(f.client), 53), netip.IPv6Unspecified()
		if own.Is4() {
			everywhere = netip.IPv4Unspecified()
		}
		var sockets []ownSocket
		for _, protocol := range []int{TCP, UDP} {
			for _, port := range []uint16{443, 40000, 50000} {
				sockets = append(sockets, ownSocket{protocol, at(own, port), client})
			}
			sockets = append(sockets,
				ownSocket{protocol, at(elsewhere, 50000), client}, // the address is not one of Local
				ownSocket{protocol, at(own, 50001), netip.AddrPort{}},
				ownSocket{protocol, at(everywhere, 50002), netip.AddrPort{}},
				ownSocket{protocol, at(own, 22), netip.AddrPort{}})
		}
		for _, o := range sockets {
			openOwn(t, o)
		}
		for _, c := range []struct {
			name     string
			to       netip.AddrPort
			from     netip.AddrPort
			tcp, udp Reason
		}{
			{"connected, in the range", at(own, 50000), client, Passed, Passed},
			{"connected, a single port within the ephemeral ones", at(own, 40000), client, Passed, Passed},
			{"connected, a single port of another kind: not asked for", at(own, 443), client, SteeredService, SteeredService},
			{"connected, from another port", at(own, 50000), at(client.Addr(), 54), SteeredService, SteeredService},
			{"connected, from another address", at(own, 40000), at(ip(f.other), 53), SteeredService, SteeredService},
			{"connected, of an address that is not this machine's", at(elsewhere, 50000), client, SteeredService, SteeredService},
			{"bound, in the range", at(own, 50001), client, SteeredService, Passed},
			{"bound to any address, in the range", at(own, 50002), at(ip(f.other), 1), SteeredService, Passed},
			{"nobody's, in the range", at(own, 50003), client, SteeredService, SteeredService},
			{"bound, no service's", at(own, 22), client, Passed, Passed},
		} {
			check := func(what string, packet []byte, want Reason) {
				t.Helper()
				if got := judge(t, p, frame(packet)); got != want {
					t.Errorf("%s, %s to %s: %s, want %s", c.name, what, c.to, got, want)
				}
				if got := oracle(s, frame(packet), sockets...); got != want {
					t.Errorf("%s, %s to %s: the oracle says %s, want %s", c.name, what, c.to, got, want)
				}
			}
			from, to := c.from.Addr().String(), c.to.Addr().String()
			check("tcp", tcp(from, to, c.from.Port(), c.to.Port()), c.tcp)
			check("udp", udp(from, to, c.from.Port(), c.to.Port()), c.udp)
			unreachable := uint8(3)
			if to == f.own && own.Is6() || to == f.elsewhere && own.Is6() {
				unreachable = 1
			}
			inError := map[Reason]Reason{SteeredService: SteeredICMP, Passed: Passed}
			check("error about tcp", quoting(f.other, to, unreachable, tcp(to, from, c.to.Port(), c.from.Port()), 8), inError[c.tcp])
			check("error about udp", quoting(f.other, to, unreachable, udp(to, from, c.to.Port(), c.from.Port()), 8), inError[c.udp])
		}
	}
}

// TestOwnFragments: of a packet to this machine itself all fragments are left to the
// kernel, on the word of the first; and of one to a service none.
func TestOwnFragments(t *testing.T) {
	for _, f := range []struct{ own, client, other string }{{own4, client4, other4}, {own6, client6, other6}} {
		own, client := ip(f.own), ip(f.client)
		s := Steering{
			Services: []Service{{own, UDP, 50000, 50999}, {own, TCP, 443, 443}, {ip(f.other), UDP, 1, 1}},
			Local:    []netip.Addr{own}, Ephemeral: Ports{32768, 60999},
		}
		p := loadWithSocket(t, s)
		addLoopback(t, own, client)
		query := ownSocket{UDP, netip.AddrPortFrom(own, 50000), netip.AddrPort{}}
		openOwn(t, query)
		echo, answer := uint8(8), uint8(0)
		if own.Is6() {
			echo, answer = 128, 129
		}
		memory := memory{own: []ownSocket{query}}
		data := make([]byte, 24)
		for i, c := range []struct {
			name   string
			packet []byte
			want   Reason
		}{
			{"an answer to a query", udp(f.client, f.own, 53, 50000), Passed},
			{"to the service", udp(f.client, f.own, 53, 50001), SteeredFragment},
			{"to another port", udp(f.client, f.own, 53, 40000), Passed},
			{"tcp to the service", tcp(f.client, f.own, 53, 443), SteeredFragment},
			{"tcp to another port", tcp(f.client, f.own, 53, 22), Passed},
			{"an answer to a ping", icmp(f.client, f.own, answer, data...), Passed},
			{"a ping", icmp(f.client, f.own, echo, data...), SteeredFragment},
			{"to a service elsewhere", udp(f.client, f.other, 1, 2), SteeredFragment},
		} {
			n := len(body(c.packet))
			judged := func(what string, id int, packet []byte, want Reason) {
				t.Helper()
				number(packet, uint16(id))
				if got := judge(t, p, frame(packet)); got != want {
					t.Errorf("%s, %s to %s: %s, want %s", c.name, what, f.own, got, want)
				}
				if got := memory.judge(s, frame(packet)); got != want {
					t.Errorf("%s, %s to %s: the oracle says %s, want %s", c.name, what, f.own, got, want)
				}
			}
			judged("a later fragment before the first", i, fragment(c.packet, 8, 16), SteeredFragment)
			for range 2 {
				judged("first fragment", i, fragment(c.packet, 0, 8), c.want)
				judged("middle fragment", i, fragment(c.packet, 8, 16), c.want)
				judged("last fragment", i, fragment(c.packet, 16, n), c.want)
			}
			judged("a fragment of another packet", i+1000, fragment(c.packet, 16, n), SteeredFragment)
		}
	}
}

// number gives the packet that a fragment is of a number.
func number(p []byte, id uint16) {
	at := 4
	if p[0]>>4 == 6 {
		at = 46
	}
	binary.BigEndian.PutUint16(p[at:], id)
}

// TestDestinationMAC: what is for another MAC address than this machine's is passed, and
// what is for a group, whether or not the machine's are known.
func TestDestinationMAC(t *testing.T) {
	for _, c := range []struct {
		name string
		macs [][6]byte
		want map[[6]byte]Reason
	}{
		{"all known", [][6]byte{ownMAC, vrrpMAC}, map[[6]byte]Reason{
			ownMAC: SteeredService, vrrpMAC: SteeredService, otherMAC: Passed, groupMAC: Passed, broadcast: Passed, {}: Passed,
		}},
		{"none known", nil, map[[6]byte]Reason{
			ownMAC: SteeredService, otherMAC: SteeredService, groupMAC: Passed, broadcast: Passed,
		}},
	} {
		s := testSteering()
		s.MACs = c.macs
		p := loadWithSocket(t, s)
		for mac, want := range c.want {
			for _, packet := range [][]byte{tcp(client4, vip4, 40000, 80), tcp(client6, vip6, 40000, 80)} {
				f := sendTo(mac, frame(packet, mixedTags[:1]...))
				if got := judge(t, p, f); got != want {
					t.Errorf("%s, to %x: %s, want %s", c.name, mac, got, want)
				}
			}
		}
	}
}

// randomOwn opens sockets between the pools' addresses, which it puts on the loopback.
func randomOwn(t testing.TB, r *rand.Rand) (own []ownSocket) {
	t.Helper()
	for _, pool := range pools {
		var addrs []netip.Addr
		for _, a := range pool {
			if a := ip(a); !isGroup(a) && !a.Is4In6() {
				addrs = append(addrs, a)
			}
		}
		addLoopback(t, addrs...)
		for i := range 20 {
			o := ownSocket{
				protocol: pick(r, TCP, UDP),
				local:    netip.AddrPortFrom(pick(r, addrs...), uint16(8000+r.IntN(10)*11+i*1000)),
				remote:   netip.AddrPortFrom(pick(r, addrs...), randomPort(r)|1),
			}
			switch r.IntN(4) {
			case 0:
				o.remote = netip.AddrPort{}
			case 1:
				o.remote = netip.AddrPort{}
				o.local = netip.AddrPortFrom(map[bool]netip.Addr{true: netip.IPv4Unspecified(), false: netip.IPv6Unspecified()}[addrs[0].Is4()], o.local.Port())
			}
			openOwn(t, o)
			own = append(own, o)
		}
	}
	return own
}

// toOwn returns a packet to one of the sockets, or an error about one that it sent.
func toOwn(r *rand.Rand, own []ownSocket, pool []string) []byte {
	o := pick(r, own...)
	local, remote := o.local, o.remote
	if local.Addr().IsUnspecified() {
		local = netip.AddrPortFrom(ip(pool[r.IntN(4)]), local.Port())
	}
	if !remote.IsValid() || r.IntN(4) == 0 {
		remote = netip.AddrPortFrom(ip(pool[r.IntN(4)]), randomPort(r))
	}
	if local.Addr().Is4() != remote.Addr().Is4() {
		remote = netip.AddrPortFrom(local.Addr(), remote.Port())
	}
	make := map[int]func(src, dst string, sport, dport uint16) []byte{TCP: tcp, UDP: udp}[o.protocol]
	if r.IntN(3) > 0 {
		return make(remote.Addr().String(), local.Addr().String(), remote.Port(), local.Port())
	}
	unreachable := uint8(3)
	if local.Addr().Is6() {
		unreachable = 1
	}
	return quoting(remote.Addr().String(), local.Addr().String(), unreachable,
		make(local.Addr().String(), remote.Addr().String(), local.Port(), remote.Port()), 8)
}
