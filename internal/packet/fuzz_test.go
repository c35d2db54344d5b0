package packet_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// seeds calls add with frames of every kind, whole and broken.
func seeds(add func(frame []byte)) {
	r := rand.New(rand.NewPCG(15, 15))
	for range 40 {
		b := packettest.Random(r).Bytes()
		add(b)
		add(b[:r.IntN(len(b))])
		b[r.IntN(len(b))] ^= byte(1 + r.IntN(255))
		add(b)
	}
	for _, a := range answers {
		for _, f := range a.to() {
			add(f.Bytes())
		}
	}
	for _, kinds := range [][]uint8{{44}, {0, 60, 43, 60}, {60, 0}, {60, 60, 60, 60, 60, 60, 60, 60, 60}, {51}, {59}} {
		f := packettest.TCP(client6, service6, packet.TCPSyn)
		for _, k := range kinds {
			f.Extensions = append(f.Extensions, packettest.Extension{Type: k, Data: []byte{0, 1, 0, 0, 0, 0}})
		}
		add(f.Bytes())
	}
	tcp4 := packettest.TCP(client4, service4, packet.TCPSyn)
	add(vary(tcp4, set16(16, 0)))
	add(vary(tcp4, set16(20, 0x2000)))
	add(vary(tcp4, set8(14, 0x4f)))
	add(vary(tcp4, set8(46, 0xf0)))
	add(vary(packettest.UDP(client6, service6, "jumbo"), set16(58, 0)))
}

// FuzzParse holds the parser against gopacket: what it accepts, gopacket must see
// alike, and what gopacket finds in order it may refuse only for a good reason.
func FuzzParse(f *testing.F) {
	seeds(func(frame []byte) { f.Add(frame) })
	f.Fuzz(func(t *testing.T, data []byte) {
		g := guard(data, 0)
		p := dirty(len(data)%2 == 0)
		v := packet.Parse(g.frame(len(data)), &p)
		g.check(t, 0)
		frame, err := packettest.Decode(data)
		switch {
		case v == packet.Pending:
			checkParsed(t, data, &p, frame, err)
		case !v.IsDrop():
			t.Fatalf("verdict %v", v)
		case err == nil && !strictly(v, frame, data):
			t.Fatalf("%v, but gopacket finds %+v", v, frame)
		}
	})
}

// checkParsed compares an accepted packet with what gopacket says of it.
func checkParsed(t *testing.T, data []byte, p *packet.Packet, f packettest.Frame, err error) {
	t.Helper()
	// Options are the endpoints' affair: they pass through unread.
	if err != nil && !strings.Contains(err.Error(), "option") {
		t.Fatalf("accepted, but gopacket says: %v", err)
	}
	want := parsed(f)
	want.End = uint16(len(data) - f.Padding) // UDP options may follow its payload
	if *p != want {
		t.Fatalf("\n got %+v\nwant %+v", *p, want)
	}
}

// strictly reports whether v is a reason to refuse a frame that gopacket decodes
// without complaint.
func strictly(v packet.Verdict, f packettest.Frame, data []byte) bool {
	switch v {
	case packet.DropNotIP:
		return len(f.VLANs) > 2
	case packet.DropMartian:
		return martian(f)
	case packet.DropICMP:
		return f.Code != 0 || f.Proto == packet.ProtoICMP && f.Type != 8 || f.Proto == packet.ProtoICMPv6 && f.Type != 128
	case packet.DropProtocol:
		return f.Is4() && f.Proto == packet.ProtoICMPv6 || !f.Is4() && f.Proto == packet.ProtoICMP ||
			len(f.Extensions) > 8 || slices.ContainsFunc(f.Extensions, segmentsLeft) ||
			len(f.Extensions) > 1 && slices.ContainsFunc(f.Extensions[1:], func(e packettest.Extension) bool { return e.Type == 0 })
	case packet.DropMalformed:
		// gopacket takes a length of 0 for "all there is": TSO and jumbograms.
		l3 := 14 + 4*len(f.VLANs)
		noLength := f.Is4() && data[l3+2] == 0 && data[l3+3] == 0
		udp := parsed(f).L4
		return noLength || f.Proto == packet.ProtoUDP && data[udp+4] == 0 && data[udp+5] == 0
	}
	return false
}

func segmentsLeft(e packettest.Extension) bool { return e.Type == 43 && e.Data[1] != 0 }

// martian says in the words of net/netip what the parser says in bits.
func martian(f packettest.Frame) bool {
	src, dst := f.Src.Addr(), f.Dst.Addr()
	if f.Is4() {
		b := src.As4()
		return b[0] == 0 || src.IsLoopback() || src.IsLinkLocalUnicast() || src.IsMulticast() || src == netip.AddrFrom4([4]byte{255, 255, 255, 255})
	}
	compatible := netip.MustParsePrefix("::/96") // :: and ::1 among them
	return src.IsMulticast() || src.IsLinkLocalUnicast() || src.Is4In6() || dst.Is4In6() || compatible.Contains(src) || compatible.Contains(dst)
}

// FuzzRewrite runs everything that writes on every packet that the parser
// accepts, in a buffer with canaries around the frame.
func FuzzRewrite(f *testing.F) {
	seeds(func(frame []byte) {
		for op := range uint8(5) {
			f.Add(frame, op, []byte("sixteen bytes 6."), uint16(8080), uint16(len(frame)))
		}
	})
	f.Fuzz(func(t *testing.T, data []byte, op uint8, to []byte, port, room uint16) {
		p := dirty(true)
		if packet.Parse(data, &p) != packet.Pending {
			return
		}
		switch op % 5 {
		case 0, 1:
			fuzzRewrite(t, data, &p, op%5 == 0, fuzzAddr(to, p.IPv6), port)
		case 2:
			fuzzAnswer(t, packet.EchoReply, data, room)
		case 3:
			fuzzAnswer(t, packet.Reset, data, room)
		case 4:
			fuzzAnswer(t, packet.Unreachable, data, room)
			fuzzAnswer(t, packet.TimeExceeded, data, room)
			fuzzAnswer(t, challenge, data, room)
		}
	})
}

// fuzzAddr makes an address that may stand in a packet of b.
func fuzzAddr(b []byte, ipv6 bool) packet.Addr {
	var a [16]byte
	copy(a[:], b)
	a[0] = 0x20 // global unicast, in both families
	if ipv6 {
		return packet.AddrFrom(netip.AddrFrom16(a))
	}
	return packet.AddrFrom(netip.AddrFrom4([4]byte(a[:4])))
}

func fuzzRewrite(t *testing.T, data []byte, p *packet.Packet, dst bool, addr packet.Addr, port uint16) {
	g := guard(data, 0)
	b := g.frame(len(data))
	side, key, old, oldPort := packet.Source, p.Key, p.Key.Src, p.Key.SrcPort
	if dst {
		side, old, oldPort = packet.Destination, p.Key.Dst, p.Key.DstPort
	}
	limit := p.L3 + 8
	if p.IPv6 {
		limit = p.L3 + 7
	}
	switch {
	case dst && p.Echo:
		key.Dst = addr
	case dst:
		key.Dst, key.DstPort = addr, port
	case p.Echo:
		key.Src = addr
	default:
		key.Src, key.SrcPort = addr, port
	}
	went := translate(b, p, side, &addr, port)
	g.check(t, len(data))
	if went != (data[limit] > 1) {
		t.Fatalf("ttl %d: %v", data[limit], went)
	}
	if !went {
		if !bytes.Equal(b, data) {
			t.Fatalf("a packet that went nowhere was changed:\n got %x\nwant %x", b, data)
		}
		return
	}
	if b[limit] != data[limit]-1 {
		t.Fatalf("ttl %d became %d", data[limit], b[limit])
	}
	if got := mustParse(t, b); got.Key != key || got.L4 != p.L4 || got.End != p.End {
		t.Fatalf("rewritten to %+v, want key %+v", got, key)
	}
	ip, l4 := residues(data, p)
	if newIP, newL4 := residues(b, p); newIP != ip || newL4 != l4 {
		t.Fatalf("checksums were off by %#x and %#x, are by %#x and %#x", ip, l4, newIP, newL4)
	}
	if b[limit] == 1 { // it can't come back
		return
	}
	translate(b, p, side, &old, oldPort)
	g.check(t, len(data))
	b[limit] += 2
	if !bytes.Equal(blank(b, p), blank(data, p)) {
		t.Fatalf("there and back:\n got %x\nwant %x", b, data)
	}
}

// residues returns by how much the checksums of IPv4 and of the transport are
// off, 0 when they are right, modulo 65535.
func residues(b []byte, p *packet.Packet) (ip, l4 uint16) {
	header, payload := b[p.L3:p.L4], b[p.L4:p.End]
	var addresses []byte
	if p.IPv6 {
		addresses = header[8:40]
	} else {
		ip = packettest.Sum(header)
		addresses = header[12:20]
	}
	if p.Key.Proto == packet.ProtoICMP {
		return ip, packettest.Sum(payload)
	}
	if p.Key.Proto == packet.ProtoUDP && payload[6] == 0 && payload[7] == 0 {
		return ip, 0
	}
	return ip, packettest.Sum(append(bytes.Clone(addresses), payload...))
}

// repaired returns a copy of a frame that parses, with right checksums and
// unicast MAC addresses.
func repaired(data []byte) []byte {
	b := bytes.Clone(data)
	b[0] &^= 1
	b[6] &^= 1
	var p packet.Packet
	packet.Parse(b, &p)
	header, l4 := b[p.L3:p.L4], b[p.L4:p.End]
	var pseudo []byte
	if p.IPv6 {
		pseudo = append(pseudo, header[8:40]...)
	} else {
		correct(header[10:12], packettest.Sum(header))
		pseudo = append(pseudo, header[12:20]...)
	}
	if p.Key.Proto == packet.ProtoUDP {
		l4 = l4[:binary.BigEndian.Uint16(l4[4:])]
	}
	pseudo = binary.BigEndian.AppendUint32(pseudo, uint32(len(l4)))
	pseudo = binary.BigEndian.AppendUint32(pseudo, p.Key.Proto)
	if p.Key.Proto == packet.ProtoICMP {
		pseudo = nil
	}
	correct(transportSum(b, &p), packettest.Sum(append(pseudo, l4...)))
	return b
}

// correct takes off what a checksum is off, and leaves 0xffff instead of 0.
func correct(field []byte, off uint16) { spoil(field, 0xffff-off) }

// blank returns b without the checksums: that 0 and 0xffff are the same number
// is the residues' affair.
func blank(b []byte, p *packet.Packet) []byte {
	b = bytes.Clone(b)
	clear(transportSum(b, p))
	if !p.IPv6 {
		clear(b[p.L3+10:][:2])
	}
	return b
}

func fuzzAnswer(t *testing.T, build func([]byte, *packet.Packet) int, data []byte, room uint16) {
	if room%8 != 0 { // packets that are worth an answer do not come about by chance
		data = repaired(data)
	}
	got := answer(t, build, data, int(room%2048))
	if got == nil {
		return
	}
	asked, _ := packettest.Decode(data)
	said := packettest.Verify(t, got)
	if said.Src.Addr() != asked.Dst.Addr() || said.Dst.Addr() != asked.Src.Addr() ||
		said.SrcMAC != asked.DstMAC || said.DstMAC != asked.SrcMAC {
		t.Fatalf("%+v answers %+v", said, asked)
	}
	if said.Proto == packet.ProtoTCP && said.Flags&packet.TCPRst == 0 && said.Ack != challengeAck {
		t.Fatalf("%+v is neither a RST nor a challenge", said)
	}
}
