package packet_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// xlatID is the IPv4 identification of translated packets that bring none.
const xlatID = 0xbeef

// xlat is what a caller of the translation does: it asks how much the packet grows, makes
// room, has the packet translated, and writes the Ethernet header. nil says that the verdict was not
// Pending; the frame is untouched then. Bytes around the frame stay as they were.
func xlat(t testing.TB, frame []byte, to *packet.Key) ([]byte, packet.Verdict) {
	t.Helper()
	var p packet.Packet
	packet.Parse(frame, &p)
	n, v := packet.XlatGrowth(frame, &p)
	if v != packet.Pending {
		return nil, v
	}
	return grown(t, frame, p, n, func(b []byte, p *packet.Packet) int { return packet.Xlat(b, p, to, xlatID) }), v
}

// grown runs a translation on a copy of frame, which grows by n bytes.
func grown(t testing.TB, frame []byte, p packet.Packet, n int, translate func([]byte, *packet.Packet) int) []byte {
	t.Helper()
	const room = 128
	buffer := bytes.Repeat([]byte{canary}, room+len(frame)+room)
	copy(buffer[room:], frame)
	before := bytes.Clone(buffer)
	l3, ipv6, key, start := int(p.L3), p.IPv6, p.Key, room
	move := func(n int) {
		start -= n
		p.L3, p.L4, p.End = p.L3+uint16(n), p.L4+uint16(n), p.End+uint16(n)
	}
	move(max(n, 0))
	end := translate(buffer[start:room+len(frame)], &p)
	end += start
	move(min(n, 0))
	if int(p.L3) != l3 || start+int(p.End) != end || p.IPv6 == ipv6 || p.Key != key {
		t.Fatalf("offsets %+v in %x, IPv6 before: %v, its IP header at %d", p, buffer, ipv6, l3)
	}
	if !bytes.Equal(buffer[:start+l3], before[:start+l3]) || !bytes.Equal(buffer[end:], before[end:]) {
		t.Fatalf("wrote outside of the packet: %x", buffer)
	}
	b := buffer[start:end]
	copy(b, frame[:l3-2])
	binary.BigEndian.PutUint16(b[l3-2:], map[bool]uint16{true: 0x86dd, false: 0x0800}[p.IPv6])
	var again packet.Packet
	packet.Parse(b, &again)
	if again.L3 != p.L3 || again.L4 != p.L4 || again.End != p.End {
		t.Fatalf("offsets are %+v, should be %+v", p, again)
	}
	return b
}

// headerLen is the size of f's IP header and what is in front of the transport.
func headerLen(f packettest.Frame) int {
	p := parsed(f)
	return int(p.L4 - p.L3)
}

// withPorts returns a frame of TCP or UDP.
func withPorts(r *rand.Rand) packettest.Frame {
	for {
		if f := packettest.Random(r); hasPorts(f) {
			return f
		}
	}
}

// otherEnds returns random ends in the other family for f.
func otherEnds(r *rand.Rand, f packettest.Frame) packet.Key {
	return packet.Key{
		Src: packet.AddrFrom(packettest.RandomAddr(r, !f.Is4())), Dst: packet.AddrFrom(packettest.RandomAddr(r, !f.Is4())),
		SrcPort: uint16(r.Uint32()), DstPort: uint16(r.Uint32()),
	}
}

// translated is the oracle: f in the other family, by RFC 7915, in words of gopacket. It has
// not lost a hop yet.
func translated(f packettest.Frame, to *packet.Key) packettest.Frame {
	g := f
	g.Padding, g.FlowLabel, g.IPOptions, g.Extensions, g.ID, g.DF = 0, 0, nil, nil, 0, false
	g.Src, g.Dst = netip.AddrPortFrom(to.Src.Netip(), 0), netip.AddrPortFrom(to.Dst.Netip(), 0)
	if hasPorts(f) {
		g.Src, g.Dst = netip.AddrPortFrom(g.Src.Addr(), to.SrcPort), netip.AddrPortFrom(g.Dst.Addr(), to.DstPort)
	}
	if f.Is4() {
		g.NoChecksum = false
	} else {
		g.ID = xlatID
		g.DF = len(g.Bytes())-14-4*len(f.VLANs) > 1260
		for _, e := range f.Extensions {
			if e.Type == 44 {
				g.ID, g.DF = binary.BigEndian.Uint16(e.Data[4:]), false
				break
			}
		}
	}
	types := map[[2]uint8][2]uint8{{1, 8}: {58, 128}, {1, 0}: {58, 129}, {58, 128}: {1, 8}, {58, 129}: {1, 0}}
	if as, ok := types[[2]uint8{f.Proto, f.Type}]; ok && !hasPorts(f) {
		g.Proto, g.Type = as[0], as[1]
		if g.EchoID = to.SrcPort; g.Type == 0 || g.Type == 129 {
			g.EchoID = to.DstPort
		}
	}
	return g
}

// A translated frame is, byte for byte, the one that gopacket builds of the same data in
// the other family.
func TestXlatIsBuildingAnew(t *testing.T) {
	r := rand.New(rand.NewPCG(79, 15))
	for range 6000 {
		f := packettest.Random(r)
		if f.Proto == packet.ProtoICMP && r.IntN(2) == 0 {
			f.Type = 0
		} else if f.Proto == packet.ProtoICMPv6 && r.IntN(2) == 0 {
			f.Type = 129
		}
		if r.IntN(4) == 0 {
			f.Payload = make([]byte, 1180+r.IntN(60)) // about the size where DF begins
		}
		to := otherEnds(r, f)
		got, v := xlat(t, f.Bytes(), &to)
		if v != packet.Pending {
			t.Fatalf("%v of %+v", v, f)
		}
		want := translated(f, &to)
		want.TTL--
		equalBytes(t, got, want)
	}
}

// There and back again a packet is what it was, but for what the other family has no room
// for, and two hops.
func TestXlatBackAndForth(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 79))
	for range 3000 {
		f := packettest.Random(r)
		f.TTL, f.NoChecksum = 9, false
		own, to := f.Key(), otherEnds(r, f)
		there, _ := xlat(t, f.Bytes(), &to)
		got, v := xlat(t, there, &own)
		if v != packet.Pending {
			t.Fatalf("%v of %+v", v, f)
		}
		back := packettest.Verify(t, got)
		f.TTL, f.IPOptions, f.Extensions, f.FlowLabel, f.Padding = 7, nil, nil, 0, 0
		f.ID, f.DF = back.ID, back.DF
		if d := packettest.Diff(back, f); d != "" {
			t.Fatal(d)
		}
	}
}

// A wrong checksum stays off by what it was off.
func TestXlatNeverRepairs(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 79))
	for range 3000 {
		f := packettest.Random(r)
		if f.NoChecksum {
			continue
		}
		good, bad := f.Bytes(), f.Bytes()
		p := mustParse(t, good)
		off := uint16(1 + r.IntN(0xfffe))
		spoil(transportSum(bad, &p), off)
		to := otherEnds(r, f)
		g, _ := xlat(t, good, &to)
		b, _ := xlat(t, bad, &to)
		p = mustParse(t, g)
		if got := difference(transportSum(b, &p), transportSum(g, &p)); got != off {
			t.Fatalf("%+v: was off by %#x, is by %#x", f, off, got)
		}
	}
}

// What cannot be translated is told before anything is written.
func TestXlatRefuses(t *testing.T) {
	tcp4, tcp6 := packettest.TCP(client4, service4, packet.TCPAck), packettest.TCP(client6, service6, packet.TCPAck)
	udp4 := packettest.UDP(client4, service4, "datagram")
	echo4, echo6 := packettest.Echo("198.51.100.7", "192.0.2.10", 1), packettest.Echo("2001:db8:100::7", "2001:db8:2::10", 1)
	fragment := func(f packettest.Frame, offset uint16, more bool) []byte {
		return resummed(fragmented(f, offset, more))
	}
	hop := func(f packettest.Frame) []byte { f.TTL = 1; return f.Bytes() }
	options := func(o ...byte) []byte {
		f := tcp4
		f.IPOptions = bytes.Repeat([]byte{1}, len(o))
		return resummed(vary(f, setAll(34, o)))
	}
	unsummed := udp4
	unsummed.NoChecksum = true
	extended := packettest.TCP(client6, service6, packet.TCPAck)
	extended.Extensions = []packettest.Extension{{Type: 44, Data: []byte{0, 1, 0, 0, 0, 9}}, {Type: 60, Data: make([]byte, 6)}}
	of := func(f packettest.Frame, kind uint8) []byte { return withoutPorts(f, kind, 0).Bytes() }
	for name, c := range map[string]struct {
		frame []byte
		want  packet.Verdict
	}{
		"last hop of IPv4":               {hop(tcp4), packet.DropTTL},
		"last hop of IPv6":               {hop(tcp6), packet.DropTTL},
		"loose source route":             {options(131, 7, 4, 192, 0, 2, 99, 0), packet.DropProtocol},
		"strict source route behind one": {options(1, 148, 4, 0, 0, 137, 7, 4, 192, 0, 2, 99), packet.DropProtocol},
		"source route at its end":        {options(131, 7, 8, 192, 0, 2, 99, 0), packet.Pending},
		"source route behind the end":    {options(0, 4, 0, 0, 131, 7, 4, 192, 0, 2, 99, 0), packet.Pending},
		"source route on its last byte":  {options(131, 7, 7, 192, 0, 2, 99, 0), packet.DropProtocol},
		"recorded route":                 {options(7, 7, 4, 192, 0, 2, 99, 0), packet.Pending},
		"option of no length":            {options(222, 0, 1, 1), packet.Pending},
		"first fragment without UDP sum": {fragment(unsummed, 0, true), packet.DropFragment},
		"later fragment of the same":     {fragment(unsummed, 9, true), packet.Pending},
		"first fragment with UDP sum":    {fragment(udp4, 0, true), packet.Pending},
		"tiny fragment of UDP":           {cut(fragment(udp4, 0, true), 4), packet.DropTiny},
		"tiny fragment of TCP":           {cut(fragment(tcp6, 0, true), 19), packet.DropTiny},
		"first fragment of an echo":      {fragment(echo4, 0, true), packet.DropFragment},
		"later fragment of an echo":      {fragment(echo6, 9, false), packet.DropFragment},
		"router solicitation":            {of(echo6, 133), packet.DropProtocol},
		"timestamp":                      {of(echo4, 13), packet.DropProtocol},
		"extension header in a fragment": {extended.Bytes(), packet.DropProtocol},
		"SCTP":                           {resummed(vary(tcp4, set8(23, 132))), packet.DropProtocol},
		"wrong header checksum":          {vary(tcp4, set8(15, 4)), packet.DropMalformed},
	} {
		to := otherEnds(rand.New(rand.NewPCG(1, 1)), tcp4)
		if !isIPv4(c.frame) {
			to = otherEnds(rand.New(rand.NewPCG(1, 1)), tcp6)
		}
		if _, v := xlat(t, c.frame, &to); v != c.want {
			t.Errorf("%s: %v, want %v", name, v, c.want)
		}
	}
}

// resummed rights the header checksum of an untagged IPv4 frame.
func resummed(frame []byte) []byte {
	if isIPv4(frame) {
		header := frame[14:][:4*(frame[14]&15)]
		set16(10, 0)(header)
		set16(10, ^packettest.Sum(header))(header)
	}
	return frame
}

func isIPv4(frame []byte) bool { return frame[12] == 0x08 }

// cut shortens an untagged packet without IP options, or a fragment of IPv6, to n bytes of transport.
func cut(frame []byte, n int) []byte {
	if isIPv4(frame) {
		set16(16, uint16(20+n))(frame)
		return resummed(frame[:34+n])
	}
	set16(18, uint16(8+n))(frame)
	return frame[:62+n]
}

// IPv6 has no UDP without a checksum. One that comes out as 0 is sent as 0xffff, and what is
// behind the datagram is not part of it.
func TestXlatMakesUDPChecksum(t *testing.T) {
	f := packettest.UDP(client4, service4, "\x00\x00")
	f.NoChecksum = true
	to := otherEnds(rand.New(rand.NewPCG(2, 2)), f)
	got, _ := xlat(t, f.Bytes(), &to)
	sum := got[14+40+6:][:2]
	f.Payload = bytes.Clone(sum) // so that there is nothing left to be complemented
	got, _ = xlat(t, f.Bytes(), &to)
	if sum = got[14+40+6:][:2]; sum[0] != 0xff || sum[1] != 0xff {
		t.Errorf("checksum %x", sum)
	}

	f.Payload = []byte("datagram, and options")
	b := f.Bytes()
	set16(14+20+4, 8+8)(b)
	got, _ = xlat(t, b, &to)
	set16(14+4, 8+8)(got)
	packettest.Verify(t, got[:14+40+8+8])
}

func TestXlatDoesNotAllocate(t *testing.T) {
	for _, f := range []packettest.Frame{packettest.TCP(client4, service4, packet.TCPAck), packettest.TCP(client6, service6, packet.TCPAck)} {
		const room = 20
		original := append(make([]byte, room), f.Bytes()...)
		b := bytes.Clone(original)
		at := mustParse(t, b[room:])
		to := otherEnds(rand.New(rand.NewPCG(1, 1)), f)
		allocs := testing.AllocsPerRun(100, func() {
			copy(b, original)
			if _, v := packet.XlatGrowth(b[room:], &at); v != packet.Pending {
				t.Fatal(v)
			}
			p := at
			p.L3, p.L4, p.End = p.L3+room, p.L4+room, p.End+room
			packet.Xlat(b, &p, &to, xlatID)
		})
		if allocs != 0 {
			t.Errorf("%v allocations", allocs)
		}
	}
}
