package bpf

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"
)

// sample is a packet and what the rules of doc.go say about it. The table leaves
// out what is the same in both families.
type sample struct {
	name   string
	packet []byte // from the IP header on
	want   Reason
}

func samples() []sample {
	all := append(samplesOf(client4, own4, inside4, vip4, any4, backend4, free4, some4, other4),
		samplesOf(client6, own6, inside6, vip6, any6, backend6, free6, some6, other6)...)
	all = append(all, samples4()...)
	all = append(all, samples6()...)
	all = append(all, icmpSamples(client4, own4, inside4, vip4, backend4, free4, other4, 3)...)
	return append(all, icmpSamples(client6, own6, inside6, vip6, backend6, free6, other6, 1)...)
}

func samplesOf(client, own, inside, vip, every, backend, free, some, other_ string) []sample {
	big := udp(client, vip, 40000, 7777) // 32 bytes after the IP header
	bigReply := udp(backend, client, 7777, 40000)
	return []sample{
		{"service tcp", tcp(client, vip, 40000, 80), SteeredService},
		{"service udp", udp(client, vip, 40000, 7777), SteeredService},
		{"service port, other protocol", udp(client, vip, 40000, 80), Passed},
		{"service address, other port", tcp(client, vip, 40000, 81), Passed},
		{"service address, port 0", tcp(client, vip, 40000, 0), Passed},
		{"service address, ssh", tcp(client, vip, 40000, 22), Passed},
		{"service address as source", tcp(vip, client, 80, 40000), Passed},
		{"below the range", tcp(client, vip, 40000, 7999), Passed},
		{"first of the range", tcp(client, vip, 40000, 8000), SteeredService},
		{"within the range", tcp(client, vip, 40000, 8064), SteeredService},
		{"last of the range", tcp(client, vip, 40000, 8099), SteeredService},
		{"above the range", tcp(client, vip, 40000, 8100), Passed},
		{"range, other protocol", udp(client, vip, 40000, 8050), Passed},
		{"any port: first", tcp(client, every, 40000, 0), SteeredService},
		{"any port: one", tcp(client, every, 40000, 1), SteeredService},
		{"any port: last", tcp(client, every, 40000, 65535), SteeredService},
		{"any port, other protocol", udp(client, every, 40000, 1), Passed},

		{"own address, ssh", tcp(client, own, 40000, 22), Passed},
		{"own address, service port", tcp(client, own, 40000, 443), SteeredService},
		{"own address, service port, other protocol", udp(client, own, 40000, 443), Passed},
		{"own address, answer to its own connection", tcp(client, own, 443, 40000), Passed},
		{"somebody else's", tcp(client, other_, 40000, 80), Passed},
		{"sctp to a service address", other(client, vip, layers.IPProtocolSCTP), Passed},
		{"gre to a service address", other(client, vip, layers.IPProtocolGRE), Passed},
		{"esp to a service address", other(client, vip, layers.IPProtocolESP), Passed},

		{"reply tcp", tcp(backend, client, 8080, 40000), SteeredReply},
		{"reply udp", udp(backend, client, 7777, 40000), SteeredReply},
		{"reply from any port", tcp(free, client, 1, 40000), SteeredReply},
		{"reply from a range", tcp(some, client, 8050, 40000), SteeredReply},
		{"backend of a range, ssh", tcp(some, client, 22, 40000), Passed},
		{"backend of a range, as a client", tcp(some, other_, 8100, 443), Passed},
		{"reply to anybody", tcp(backend, other_, 8080, 40000), SteeredReply},
		{"reply to the balancer: a probe's", tcp(backend, inside, 8080, 40000), Passed},
		{"reply from any port to the balancer", tcp(free, inside, 8080, 40000), Passed},
		{"reply to the balancer's service address", tcp(backend, own, 8080, 40000), Passed},
		{"backend, other port", tcp(backend, client, 8081, 40000), Passed},
		{"backend, other protocol", udp(backend, client, 8080, 40000), Passed},
		{"backend, any port of another protocol", udp(free, client, 8080, 40000), Passed},
		{"backend as destination", tcp(client, backend, 8080, 8080), Passed},
		{"backend as client of a service", tcp(backend, vip, 8080, 80), SteeredService},
		{"backend, icmp", icmp(backend, client, 8), Passed},

		{"fragment: first", fragment(big, 0, 16), SteeredFragment},
		{"fragment: middle", fragment(big, 16, 24), SteeredFragment},
		{"fragment: last", fragment(big, 24, 32), SteeredFragment},
		{"fragment: first, port of no service", fragment(udp(client, vip, 1, 2), 0, 16), SteeredFragment},
		{"fragment: protocol of no service", fragment(udp(client, every, 1, 2), 16, 32), Passed},
		{"fragment: protocol unknown", fragment(other(client, vip, layers.IPProtocolGRE), 16, 32), Passed},
		{"fragment: echo request", fragment(icmp(client, vip, 8, make([]byte, 32)...), 0, 16), SteeredFragment},
		{"fragment: of an icmp message", fragment(icmp(client, vip, 8, make([]byte, 32)...), 16, 32), SteeredFragment},
		{"fragment: to the balancer", fragment(udp(client, inside, 1, 7777), 16, 32), Passed},
		{"fragment: to others", fragment(udp(client, other_, 1, 7777), 0, 16), Passed},
		{"fragment: first of a reply", fragment(bigReply, 0, 16), SteeredFragment},
		{"fragment: first of another server's", fragment(udp(backend, other_, 1, 2), 0, 16), Passed},
		{"fragment: last of another server's", fragment(udp(backend, other_, 1, 2), 24, 32), Passed},
		{"fragment: last of a reply", fragment(bigReply, 24, 32), SteeredFragment},
		{"fragment: last of a reply from any port", fragment(tcp(free, client, 1, 40000), 16, 25), SteeredFragment},
		{"fragment: first of a reply from a range", fragment(tcp(some, client, 8000, 40000), 0, 16), SteeredFragment},
		{"fragment: last of a reply from a range", fragment(tcp(some, client, 8000, 40000), 16, 25), SteeredFragment},
		{"fragment: of another protocol than the replies", fragment(udp(free, client, 1, 40000), 16, 24), Passed},
		{"fragment: echo from a backend", fragment(icmp(backend, client, 8, make([]byte, 32)...), 16, 32), Passed},
		{"fragment: reply to the balancer", fragment(udp(backend, inside, 7777, 40000), 0, 16), Passed},
	}
}

func samples4() []sample {
	bad := func(change func(p []byte)) []byte {
		p := tcp(client4, vip4, 40000, 80)
		change(p)
		return p
	}
	return []sample{
		{"options: least", options(tcp(client4, vip4, 40000, 80), 4), SteeredService},
		{"options: most", options(tcp(client4, vip4, 40000, 80), 40), SteeredService},
		{"options: other port", options(tcp(client4, vip4, 40000, 81), 40), Passed},
		{"options: reply", options(tcp(backend4, client4, 8080, 40000), 12), SteeredReply},
		{"options: echo", options(icmp(client4, vip4, 8), 8), SteeredICMP},
		{"version 5", bad(func(p []byte) { p[0] = 0x55 }), Passed},
		{"version 6 behind the type of IPv4", bad(func(p []byte) { p[0] = 0x65 }), Passed},
		{"header of 16 bytes", bad(func(p []byte) { p[0] = 0x44 }), SteeredUnreadable},
		{"header longer than the packet", bad(func(p []byte) { p[0] = 0x4f; p[3] = 40 }), SteeredUnreadable},
		{"length shorter than the header", bad(func(p []byte) { p[2], p[3] = 0, 19 }), SteeredUnreadable},
		{"length ends in the ports", bad(func(p []byte) { p[2], p[3] = 0, 23 }), SteeredUnreadable},
		{"length ends behind the ports", bad(func(p []byte) { p[2], p[3] = 0, 24 }), SteeredService},
		{"length longer than the frame", bad(func(p []byte) { p[2] = 0xff }), SteeredService},
		{"don't fragment", bad(func(p []byte) { p[6] = 0x40 }), SteeredService},
		{"reserved flag", bad(func(p []byte) { p[6] = 0x80 }), SteeredService},
		{"protocol 58 is no ICMP here", other(client4, vip4, layers.IPProtocolICMPv6), Passed},
		{"broadcast by a backend", udp(backend4, "255.255.255.255", 7777, 7777), Passed},
		{"multicast by a backend", udp(backend4, "224.0.0.251", 7777, 7777), Passed},
	}
}

func samples6() []sample {
	syn, wrong := tcp(client6, vip6, 40000, 80), tcp(client6, vip6, 40000, 81)
	hop, route, dest := header{hopByHop, 0}, header{routing, 2}, header{destination, 1}
	big := udp(client6, vip6, 40000, 7777)
	bad := func(p []byte, change func(p []byte)) []byte {
		p = append([]byte(nil), p...)
		change(p)
		return p
	}
	return []sample{
		{"hop-by-hop", extended(syn, hop), SteeredService},
		{"routing", extended(syn, route), SteeredService},
		{"destination", extended(syn, dest), SteeredService},
		{"the order of RFC 8200", extended(syn, hop, dest, route, dest), SteeredService},
		{"the order of RFC 8200, other port", extended(wrong, hop, dest, route, dest), Passed},
		{"longest header", extended(syn, header{destination, 255}), SteeredService},
		{"chain up to the bound", extended(syn, repeat(hop, 8)...), SteeredService},
		{"chain up to the bound, other port", extended(wrong, repeat(dest, 8)...), Passed},
		{"chain beyond the bound", extended(syn, repeat(hop, 9)...), SteeredUnreadable},
		{"chain beyond the bound, other port", extended(wrong, repeat(hop, 9)...), SteeredUnreadable},
		{"chain beyond the bound, to the balancer", extended(tcp(client6, inside6, 1, 443), repeat(hop, 9)...), Passed},
		{"chain beyond the bound, reply", extended(tcp(backend6, client6, 8080, 1), repeat(hop, 9)...), Passed},
		{"reply behind a chain", extended(tcp(backend6, client6, 8080, 1), hop, dest), SteeredReply},
		{"echo behind a chain", extended(icmp(client6, vip6, 128), hop, dest), SteeredICMP},
		{"authentication header", extended(syn, header{authentication, 2}), Passed},
		{"no next header", bad(syn, func(p []byte) { p[6] = nothing }), Passed},
		{"fragment that is the whole", fragment(big, 0, 32), SteeredService},
		{"fragment that is the whole, other port", fragment(udp(client6, vip6, 1, 2), 0, 32), Passed},
		{"fragment that is the whole, of a reply", fragment(udp(backend6, client6, 7777, 2), 0, 32), SteeredReply},
		{"first fragment behind a chain", fragment(big, 0, 16, hop, route), SteeredFragment},
		{"later fragment behind a chain", fragment(big, 16, 32, hop, route), SteeredFragment},
		{"first fragment with a chain inside", fragment(extended(big, dest), 0, 24), SteeredFragment},
		{"later fragment with a chain inside", bad(fragment(big, 16, 32), func(p []byte) { p[40] = destination }), SteeredFragment},
		{"version 4 behind the type of IPv6", bad(syn, func(p []byte) { p[0] = 0x40 }), Passed},
		{"length 0", bad(syn, func(p []byte) { p[5] = 0 }), SteeredUnreadable},
		{"length ends in the ports", bad(syn, func(p []byte) { p[5] = 3 }), SteeredUnreadable},
		{"length ends behind the ports", bad(syn, func(p []byte) { p[5] = 4 }), SteeredService},
		{"length ends in a chain", bad(extended(syn, dest), func(p []byte) { p[5] = 12 }), SteeredUnreadable},
		{"header longer than the packet", bad(extended(syn, dest), func(p []byte) { p[41] = 200 }), SteeredUnreadable},
		{"header longer than the packet, of udp-less address", bad(extended(tcp(client6, any6, 1, 1), dest),
			func(p []byte) { p[41], p[40] = 200, 17 }), Passed},
		{"IPv4 service by its mapped address", tcp(client6, "::ffff:"+vip4, 40000, 80), Passed},
		{"IPv4 backend by its mapped address", tcp("::ffff:"+backend4, client6, 8080, 40000), Passed},
		{"protocol 1 is no ICMP here", other(client6, vip6, layers.IPProtocolICMPv4), Passed},
		{"multicast by a backend", udp(backend6, "ff02::fb", 7777, 7777), Passed},
		{"neighbour solicitation for a service address", icmp(client6, vip6, 135, ip(vip6).AsSlice()...), Passed},
		{"neighbour advertisement", icmp(client6, vip6, 136, ip(vip6).AsSlice()...), Passed},
		{"router solicitation", icmp(client6, own6, 133), Passed},
		{"router advertisement", icmp(client6, own6, 134, make([]byte, 8)...), Passed},
		{"redirect", icmp(client6, own6, 137, make([]byte, 32)...), Passed},
		{"multicast listener query", icmp(client6, vip6, 130, make([]byte, 16)...), Passed},
		{"neighbour solicitation, multicast", icmp(client6, "ff02::1:ff00:10", 135, ip(vip6).AsSlice()...), Passed},
	}
}

// icmpSamples are in terms of unreachable, the type of that error.
func icmpSamples(client, own, inside, vip, backend, free, other_ string, unreachable uint8) []sample {
	echo, answer, tooBig := uint8(8), uint8(0), uint8(3)
	if !is4(client) {
		echo, answer, tooBig = 128, 129, 2
	}
	router := other_
	answered := tcp(vip, client, 80, 40000)        // what the service sent
	rewritten := tcp(client, backend, 40000, 8080) // what the balancer sent on, nat
	forwarded := tcp(client, vip, 40000, 80)       // what it sent on, dsr
	return []sample{
		{"echo request", icmp(client, vip, echo), SteeredICMP},
		{"echo request with data", icmp(client, vip, echo, 1, 2, 3), SteeredICMP},
		{"echo request to the balancer's service address", icmp(client, own, echo), SteeredICMP},
		{"echo request to the balancer", icmp(client, inside, echo), Passed},
		{"echo request to others", icmp(client, other_, echo), Passed},
		{"echo reply to a service address", icmp(client, vip, answer), Passed},
		{"type of the other family", icmp(client, vip, map[bool]uint8{true: 128, false: 8}[is4(client)]), Passed},

		{"error about an answer", quoting(router, vip, tooBig, answered, 8), SteeredICMP},
		{"error about an answer, all of it", quoting(router, vip, tooBig, answered, 1000), SteeredICMP},
		{"error to a service address about nothing of ours", quoting(router, vip, unreachable, tcp(vip, client, 9, 9), 8), SteeredICMP},
		{"error to a service address without a quotation", icmp(router, vip, unreachable), SteeredICMP},
		{"error about a balancer's service's answer", quoting(router, own, unreachable, tcp(own, client, 443, 40000), 8), SteeredICMP},
		{"error about the balancer's own connection", quoting(router, own, tooBig, tcp(own, client, 40000, 443), 8), Passed},
		{"error about the balancer's own ping", quoting(router, own, unreachable, icmp(own, client, echo), 8), Passed},
		{"error to the balancer's service address, quotation cut", quoting(router, own, unreachable, tcp(own, client, 443, 1), 3), SteeredUnreadable},
		{"error to the balancer's service address, other protocol, cut", quoting(router, own, unreachable, udp(own, client, 443, 1), 3), Passed},
		{"error to the balancer's service address, no quotation", icmp(router, own, unreachable), SteeredUnreadable},
		{"error to the balancer about a probe", quoting(backend, inside, unreachable, tcp(inside, backend, 40000, 8080), 8), Passed},
		{"error to the balancer about a service", quoting(backend, inside, unreachable, tcp(inside, vip, 40000, 80), 8), Passed},
		{"error about a forwarded request", quoting(backend, client, unreachable, forwarded, 8), SteeredICMP},
		{"error about a rewritten request", quoting(backend, client, unreachable, rewritten, 8), SteeredICMP},
		{"error about a rewritten request, by a router", quoting(router, client, tooBig, rewritten, 8), SteeredICMP},
		{"error about a rewritten request, cut", quoting(backend, client, unreachable, rewritten, 3), Passed},
		{"error about a request to any port", quoting(free, client, unreachable, tcp(client, free, 1, 2), 8), SteeredICMP},
		{"error about a request to any port, cut", quoting(free, client, unreachable, tcp(client, free, 1, 2), 0), SteeredICMP},
		{"error about a backend's other port", quoting(backend, client, unreachable, tcp(client, backend, 1, 22), 8), Passed},
		{"error about a backend's other protocol", quoting(backend, client, unreachable, udp(client, backend, 1, 8080), 8), Passed},
		{"error to the balancer about a packet in a tunnel", quoting(router, inside, tooBig, other(inside, backend, 41), 100), SteeredICMP},
		{"error to the balancer about one in GRE, cut", quoting(router, own, unreachable, other(own, backend, 47), 0), SteeredICMP},
		{"error to the balancer about one in UDP", quoting(router, inside, unreachable, udp(inside, backend, 50000, 6080), 8), SteeredICMP},
		{"error to the balancer about one in UDP, cut", quoting(router, inside, unreachable, udp(inside, backend, 50000, 6080), 3), Passed},
		{"error to another source of tunnels", quoting(router, client, tooBig, other(client, backend, 41), 8), SteeredICMP},
		{"error to the balancer about another tunnel", quoting(router, inside, unreachable, other(inside, backend, 4), 8), Passed},
		{"error to the balancer about a tunnel to others", quoting(router, inside, unreachable, other(inside, free, 41), 8), Passed},
		{"error to the balancer about its own DNS query", quoting(router, inside, unreachable, udp(inside, backend, 50000, 53), 8), Passed},
		{"error about others", quoting(router, client, unreachable, tcp(client, other_, 1, 80), 8), Passed},
		{"error that ends in its header, to a service address", shorten(quoting(router, own, unreachable, tcp(own, client, 443, 1), 8), 7), SteeredUnreadable},
		{"error that ends in its header, to others", shorten(quoting(router, client, unreachable, forwarded, 8), 7), Passed},
		{"error that ends with its header, to others", shorten(quoting(router, client, unreachable, forwarded, 8), 8), Passed},
		{"error without a quotation, to others", icmp(router, client, unreachable), Passed},
	}
}

// shorten makes a packet say that it ends n bytes behind its IP header, and leaves
// the rest in the frame: padding that looks like more of it.
func shorten(p []byte, n int) []byte {
	p = slices.Clone(p)
	n += len(p) - len(body(p))
	short := p[:n:n]
	setLength(short)
	return p
}

// TestICMPTypes has all types: errors and echo requests for a service address are
// steered, and so neighbour discovery, listener reports and the rest never are.
func TestICMPTypes(t *testing.T) {
	p := loadWithSocket(t, testSteering())
	for _, c := range []struct {
		vip, client string
		steered     []int
	}{
		{vip4, client4, []int{3, 8, 11, 12}},
		{vip6, client6, []int{1, 2, 3, 4, 128}},
	} {
		for kind := range 256 {
			want := Passed
			if slices.Contains(c.steered, kind) {
				want = SteeredICMP
			}
			f := frame(quoting(c.client, c.vip, uint8(kind), tcp(c.vip, c.client, 80, 40000), 8))
			if got := judge(t, p, f); got != want {
				t.Errorf("type %d to %s: %s, want %s", kind, c.vip, got, want)
			}
		}
	}
}

// TestQueues: a packet goes to the socket of its own queue and to no other.
func TestQueues(t *testing.T) {
	newNamespace(t)
	v0, _ := newVeth(t, func(v *netlink.Veth) { v.NumRxQueues = 2 })
	p := load(t, Config{}, testSteering())
	// The queues of a veth that has no program can't be run on.
	if _, err := p.Attach(v0.Attrs().Index, Native); err != nil {
		t.Fatal(err)
	}
	runOn := func(queue uint32) uint32 {
		t.Helper()
		f := frame(tcp(client4, vip4, 40000, 80))
		context := struct{ Data, DataEnd, DataMeta, Ifindex, Queue, Egress uint32 }{
			DataEnd: uint32(len(f)), Ifindex: uint32(v0.Attrs().Index), Queue: queue,
		}
		action, err := p.objects.Steer.Run(&ebpf.RunOptions{Data: f, Context: context})
		if err != nil {
			t.Fatal(err)
		}
		return action
	}
	for has := range uint32(2) {
		if err := p.SetSocket(int(has), bindSocket(t, v0, has).fd); err != nil {
			t.Fatal(err)
		}
		for queue := range uint32(2) {
			want := uint32(xdpDrop)
			if queue == has {
				want = xdpRedirect
			}
			if got := runOn(queue); got != want {
				t.Errorf("a packet on queue %d, the socket on %d: action %d, want %d", queue, has, got, want)
			}
		}
		if err := p.ClearSocket(int(has)); err != nil {
			t.Fatal(err)
		}
	}
}

var mixedTags = []layers.EthernetType{layers.EthernetTypeQinQ, layers.EthernetTypeDot1Q, layers.EthernetTypeDot1Q}

// TestVerdicts has the table, each with no, one and two VLAN tags, with three
// (which is nobody's), and with the padding of short frames.
func TestVerdicts(t *testing.T) {
	p := loadWithSocket(t, testSteering())
	var memory memory
	for _, s := range samples() {
		for n := range 4 {
			tags, want := mixedTags[:n], s.want
			if n == 3 {
				want = Passed
			}
			f := frame(s.packet, tags...)
			if got := judge(t, p, f); got != want {
				t.Errorf("%s, %d tags: %s, want %s\n%s", s.name, len(tags), got, want, hex.Dump(f))
			}
			padded := append(f, make([]byte, 46)...)
			if got := judge(t, p, padded); got != want {
				t.Errorf("%s, %d tags, padded: %s, want %s", s.name, len(tags), got, want)
			}
			if got := memory.judge(testSteering(), f); got != want {
				t.Errorf("%s, %d tags: the oracle says %s, want %s", s.name, len(tags), got, want)
			}
		}
	}
}

// TestVerdictsWithoutSocket: what is to be steered is dropped, never passed, and
// counted; what is not is not touched.
func TestVerdictsWithoutSocket(t *testing.T) {
	p := load(t, Config{}, testSteering())
	for _, s := range samples() {
		action, why := run(t, p, frame(s.packet))
		wantAction, want := uint32(xdpDrop), DroppedNoSocket
		if s.want == Passed {
			wantAction, want = xdpPass, Passed
		}
		if action != wantAction || why != want {
			t.Errorf("%s: action %d, %s; want %d, %s", s.name, action, why, wantAction, want)
		}
	}
}

func isForService(s Steering, packet []byte) bool {
	etherType, packet := etherType(frame(packet))
	p, ok := readIP(etherType, packet)
	return ok && s.isService(p.dst)
}

// length returns the length that an IP packet says it has.
func length(p []byte) int {
	if p[0]>>4 == 6 {
		return 40 + int(binary.BigEndian.Uint16(p[4:]))
	}
	return int(binary.BigEndian.Uint16(p[2:]))
}

func setLength(p []byte) {
	if p[0]>>4 == 6 {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-40))
	} else {
		binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	}
}

// TestTruncation cuts every packet of the table at every byte: off the frame alone
// (a capture that is too short), and off the packet too, its length mended. What
// is left is judged as the oracle does, and never better than the whole: as the
// whole, or passed, or as unreadable if it is for a service address.
func TestTruncation(t *testing.T) {
	steering := testSteering()
	p := loadWithSocket(t, steering)
	var memory memory
	check := func(s sample, cut []byte, how string) {
		t.Helper()
		got, want := judge(t, p, cut), memory.judge(steering, cut)
		if got != want {
			t.Errorf("%s, %s at %d: %s, the oracle says %s\n%s", s.name, how, len(cut), got, want, hex.Dump(cut))
		}
		if got == s.want || got == Passed || got == SteeredUnreadable && isForService(steering, s.packet) {
			return
		}
		t.Errorf("%s, %s at %d: %s, the whole is %s\n%s", s.name, how, len(cut), got, s.want, hex.Dump(cut))
	}
	for _, s := range samples() {
		for _, tags := range [][]layers.EthernetType{nil, mixedTags[:2]} {
			whole := frame(s.packet, tags...)
			if len(whole) > 400 {
				continue
			}
			for n := 14; n < len(whole); n++ {
				check(s, whole[:n:n], "cut")
			}
		}
		if length(s.packet) != len(s.packet) {
			continue // to mend its length would mend the packet
		}
		for n := 40; n < min(len(s.packet), 400); n++ {
			short := slices.Clone(s.packet[:n])
			setLength(short)
			check(s, frame(short), "shortened")
		}
	}
}
