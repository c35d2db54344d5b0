package packet_test

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

const (
	client4, service4 = "198.51.100.7:40000", "192.0.2.10:80"
	client6, service6 = "[2001:db8:100::7]:40000", "[2001:db8:2::10]:80"
)

// parsed returns what Parse must find in f: the oracle adds up sizes.
func parsed(f packettest.Frame) packet.Packet {
	p := packet.Packet{Key: f.Key(), IPv6: !f.Is4()}
	l3 := 14 + 4*len(f.VLANs)
	l4 := l3 + 20 + len(f.IPOptions)
	if p.IPv6 {
		l4 = l3 + 40
		for _, e := range f.Extensions {
			l4 += 2 + len(e.Data)
		}
	}
	header := 8
	switch f.Proto {
	case packet.ProtoTCP:
		header = 20 + len(f.TCPOptions)
		p.TCPFlags = f.Flags
	case packet.ProtoICMP, packet.ProtoICMPv6:
		p.Echo = true
	}
	p.L3, p.L4, p.End = uint16(l3), uint16(l4), uint16(l4+header+len(f.Payload))
	return p
}

// dirty is a Packet left over from another frame: Parse must set every field.
func dirty(ipv6 bool) packet.Packet {
	p := packet.Packet{L3: 1, L4: 2, End: 3, TCPFlags: 0xff, IPv6: ipv6, Echo: true}
	p.Key = packet.Key{SrcPort: 9, DstPort: 9, Proto: 9}
	for i := range p.Key.Src {
		p.Key.Src[i], p.Key.Dst[i] = 0xee, 0xdd
	}
	return p
}

func mustParse(t testing.TB, frame []byte) packet.Packet {
	t.Helper()
	p, again := dirty(false), dirty(true)
	v := packet.Parse(frame, &p)
	if v != packet.Pending || packet.Parse(frame, &again) != v || again != p {
		t.Fatalf("Parse(%x) = %v, %+v and %+v", frame, v, p, again)
	}
	return p
}

func TestParseUnderstandsEveryKind(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 5000 {
		f := packettest.Random(r)
		b := f.Bytes()
		p := mustParse(t, b)
		if d := cmp.Diff(p, parsed(f)); d != "" {
			t.Fatalf("frame %+v (-got +want):\n%s", f, d)
		}
		if n := p.Hops(b); n != f.TTL {
			t.Fatalf("frame %+v: %d hops to go", f, n)
		}
	}
}

// A frame that ends anywhere before its packet does is truncated, nothing else.
func TestParseTruncatedAtEveryByte(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for range 300 {
		f := packettest.Random(r)
		f.Padding = 0
		b := f.Bytes()
		for n := range b {
			p := dirty(true)
			// The capacity ends with the frame: a read behind it would panic.
			if v := packet.Parse(b[:n:n], &p); v != packet.DropTruncated {
				t.Fatalf("%x, cut from %d to %d bytes: %v", b, len(b), n, v)
			}
		}
	}
}

// vary builds f and lets change damage its bytes.
func vary(f packettest.Frame, change func(b []byte)) []byte {
	b := f.Bytes()
	change(b)
	return b
}

func set8(at int, v byte) func([]byte) { return func(b []byte) { b[at] = v } }
func set16(at int, v uint16) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint16(b[at:], v) }
}
func setAll(at int, v []byte) func([]byte) {
	return func(b []byte) { copy(b[at:], v) }
}

func TestParseVerdicts(t *testing.T) {
	tcp4 := packettest.TCP(client4, service4, packet.TCPSyn)
	udp4 := packettest.UDP(client4, service4, "payload")
	tcp6 := packettest.TCP(client6, service6, packet.TCPSyn)
	udp6 := packettest.UDP(client6, service6, "payload")
	echo4 := packettest.Echo("198.51.100.7", "192.0.2.10", 1)
	echo6 := packettest.Echo("2001:db8:100::7", "2001:db8:2::10", 1)
	tagged := func(n int) packettest.Frame {
		f := tcp4
		f.VLANs = make([]uint16, n)
		return f
	}
	with := func(kinds ...uint8) packettest.Frame {
		f := tcp6
		for _, k := range kinds {
			f.Extensions = append(f.Extensions, packettest.Extension{Type: k, Data: make([]byte, 6)})
		}
		return f
	}
	mapped := make([]byte, 16)
	mapped[10], mapped[11], mapped[12] = 0xff, 0xff, 192
	compatible := make([]byte, 16)
	compatible[12] = 192
	loopback := make([]byte, 16)
	loopback[15] = 1
	linkLocal := func(first, second byte) []byte { return []byte{first, second, 15: 1} }

	for _, tt := range []struct {
		name  string
		frame []byte
		want  packet.Verdict
	}{
		{"nothing", nil, packet.DropTruncated},
		{"arp", vary(tcp4, set16(12, 0x0806)), packet.DropNotIP},
		{"802.3 length", vary(tcp4, set16(12, 46)), packet.DropNotIP},
		{"two vlans", tagged(2).Bytes(), packet.Pending},
		{"three vlans", tagged(3).Bytes(), packet.DropNotIP},
		{"vlan around arp", vary(tagged(1), set16(16, 0x0806)), packet.DropNotIP},
		{"too big", append(tcp4.Bytes(), make([]byte, 1<<16)...), packet.DropTooBig},
		{"largest", append(tcp4.Bytes(), make([]byte, 0xffff-54)...), packet.Pending},

		{"ipv4 version", vary(tcp4, set8(14, 0x65)), packet.DropMalformed},
		{"ipv4 header of 16 bytes", vary(tcp4, set8(14, 0x44)), packet.DropMalformed},
		{"ipv4 header of 0 bytes", vary(tcp4, set8(14, 0x40)), packet.DropMalformed},
		{"ipv4 header longer than the packet", vary(tcp4, set8(14, 0x4f)), packet.DropMalformed},
		{"ipv4 header up to the packet's end", vary(tcp4, set8(14, 0x4a)), packet.DropMalformed},
		{"ipv4 length 0", vary(tcp4, set16(16, 0)), packet.DropMalformed},
		{"ipv4 length below the header", vary(tcp4, set16(16, 19)), packet.DropMalformed},
		{"ipv4 length of the header alone", vary(tcp4, set16(16, 20)), packet.DropMalformed},
		{"ipv4 length one more than there is", vary(tcp4, set16(16, 41)), packet.DropTruncated},
		{"ipv4 length 65535", vary(tcp4, set16(16, 0xffff)), packet.DropTruncated},
		{"ipv4 first fragment", vary(tcp4, set16(20, 0x2000)), packet.DropFragment},
		{"ipv4 middle fragment", vary(tcp4, set16(20, 0x2001)), packet.DropFragment},
		{"ipv4 last fragment", vary(tcp4, set16(20, 0x1fff)), packet.DropFragment},
		{"ipv4 don't fragment", vary(tcp4, set16(20, 0x4000)), packet.Pending},
		{"ipv4 gre", vary(tcp4, set8(23, 47)), packet.DropProtocol},
		{"ipv4 with icmpv6", vary(echo4, set8(23, 58)), packet.DropProtocol},
		{"ipv4 ipip", vary(tcp4, set8(23, 4)), packet.DropProtocol},
		{"ipv4 source 0.1.2.3", vary(tcp4, setAll(26, []byte{0, 1, 2, 3})), packet.DropMartian},
		{"ipv4 source 127.0.0.1", vary(tcp4, setAll(26, []byte{127, 0, 0, 1})), packet.DropMartian},
		{"ipv4 source 224.0.0.1", vary(tcp4, setAll(26, []byte{224, 0, 0, 1})), packet.DropMartian},
		{"ipv4 source 239.255.255.255", vary(tcp4, setAll(26, []byte{239, 255, 255, 255})), packet.DropMartian},
		{"ipv4 source 255.255.255.255", vary(tcp4, setAll(26, []byte{255, 255, 255, 255})), packet.DropMartian},
		{"ipv4 source 240.0.0.1", vary(tcp4, setAll(26, []byte{240, 0, 0, 1})), packet.Pending},
		{"ipv4 source 223.255.255.255", vary(tcp4, setAll(26, []byte{223, 255, 255, 255})), packet.Pending},
		{"ipv4 source 169.254.0.1", vary(tcp4, setAll(26, []byte{169, 254, 0, 1})), packet.DropMartian},
		{"ipv4 source 169.254.255.254", vary(udp4, setAll(26, []byte{169, 254, 255, 254})), packet.DropMartian},
		{"ipv4 source 169.253.255.255", vary(tcp4, setAll(26, []byte{169, 253, 255, 255})), packet.Pending},
		{"ipv4 source 169.255.0.0", vary(tcp4, setAll(26, []byte{169, 255, 0, 0})), packet.Pending},
		{"ipv4 source 254.169.0.1", vary(tcp4, setAll(26, []byte{254, 169, 0, 1})), packet.Pending},
		{"ipv4 source 126.0.0.1", vary(tcp4, setAll(26, []byte{126, 0, 0, 1})), packet.Pending},
		{"ipv4 source 128.0.0.1", vary(tcp4, setAll(26, []byte{128, 0, 0, 1})), packet.Pending},

		{"tcp data offset 4", vary(tcp4, set8(46, 0x40)), packet.DropMalformed},
		{"tcp data offset 0", vary(tcp4, set8(46, 0)), packet.DropMalformed},
		{"tcp data offset behind the packet", vary(tcp4, set8(46, 0x60)), packet.DropMalformed},
		{"tcp header cut by the ip length", vary(tcp4, set16(16, 39)), packet.DropMalformed},
		{"udp header cut by the ip length", vary(udp4, set16(16, 27)), packet.DropMalformed},
		{"udp length 7", vary(udp4, set16(38, 7)), packet.DropMalformed},
		{"udp length 0", vary(udp4, set16(38, 0)), packet.DropMalformed},
		{"udp length behind the packet", vary(udp4, set16(38, 16)), packet.DropMalformed},
		{"udp length with options behind", vary(udp4, set16(38, 14)), packet.Pending},
		{"icmp header cut by the ip length", vary(echo4, set16(16, 27)), packet.DropMalformed},
		{"icmp echo reply", vary(echo4, set8(34, 0)), packet.DropICMP},
		{"icmp unreachable", vary(echo4, set8(34, 3)), packet.DropICMP},
		{"icmp echo with a code", vary(echo4, set8(35, 1)), packet.DropICMP},

		{"ipv6 version", vary(tcp6, set8(14, 0x40)), packet.DropMalformed},
		{"ipv6 payload 0", vary(tcp6, set16(18, 0)), packet.DropMalformed},
		{"ipv6 payload one more than there is", vary(tcp6, set16(18, 21)), packet.DropTruncated},
		{"ipv6 payload 65535", vary(tcp6, set16(18, 0xffff)), packet.DropTruncated},
		{"ipv6 tcp cut by the payload length", vary(tcp6, set16(18, 19)), packet.DropMalformed},
		{"ipv6 udp length 0", vary(udp6, set16(58, 0)), packet.DropMalformed},
		{"ipv6 with icmp", vary(echo6, set8(20, 1)), packet.DropProtocol},
		{"ipv6 esp", vary(tcp6, set8(20, 50)), packet.DropProtocol},
		{"ipv6 ah", vary(tcp6, set8(20, 51)), packet.DropProtocol},
		{"ipv6 no next header", vary(tcp6, set8(20, 59)), packet.DropProtocol},
		{"icmpv6 echo reply", vary(echo6, set8(54, 129)), packet.DropICMP},
		{"icmpv6 too big", vary(echo6, set8(54, 2)), packet.DropICMP},
		{"icmpv6 neighbour solicitation", vary(echo6, set8(54, 135)), packet.DropICMP},
		{"ipv6 source multicast", vary(tcp6, set8(22, 0xff)), packet.DropMartian},
		{"ipv6 source fe80::1", vary(tcp6, setAll(22, linkLocal(0xfe, 0x80))), packet.DropMartian},
		{"ipv6 source febf::1", vary(udp6, setAll(22, linkLocal(0xfe, 0xbf))), packet.DropMartian},
		{"ipv6 source fe7f::1", vary(tcp6, setAll(22, linkLocal(0xfe, 0x7f))), packet.Pending},
		{"ipv6 source fec0::1", vary(tcp6, setAll(22, linkLocal(0xfe, 0xc0))), packet.Pending},
		{"ipv6 source fd80::1", vary(tcp6, setAll(22, linkLocal(0xfd, 0x80))), packet.Pending},
		{"ipv6 source unspecified", vary(tcp6, setAll(22, make([]byte, 16))), packet.DropMartian},
		{"ipv6 source loopback", vary(tcp6, setAll(22, loopback)), packet.DropMartian},
		{"ipv6 source mapped", vary(tcp6, setAll(22, mapped)), packet.DropMartian},
		{"ipv6 source compatible", vary(tcp6, setAll(22, compatible)), packet.DropMartian},
		{"ipv6 destination mapped", vary(tcp6, setAll(38, mapped)), packet.DropMartian},
		{"ipv6 destination loopback", vary(tcp6, setAll(38, loopback)), packet.DropMartian},
		{"ipv6 source 64:ff9b::/96", vary(tcp6, setAll(22, []byte{0, 0x64, 0xff, 0x9b})), packet.Pending},

		{"ipv6 hop-by-hop, destination, routing, destination", with(0, 60, 43, 60).Bytes(), packet.Pending},
		{"ipv6 eight extension headers", with(0, 60, 60, 60, 60, 60, 60, 60).Bytes(), packet.Pending},
		{"ipv6 nine extension headers", with(0, 60, 60, 60, 60, 60, 60, 60, 60).Bytes(), packet.DropProtocol},
		{"ipv6 hop-by-hop not first", with(60, 0).Bytes(), packet.DropProtocol},
		{"ipv6 hop-by-hop twice", with(0, 0).Bytes(), packet.DropProtocol},
		{"ipv6 first fragment", vary(with(44), set16(56, 0x0001)), packet.DropFragment},
		{"ipv6 middle fragment", vary(with(44), set16(56, 0x0009)), packet.DropFragment},
		{"ipv6 last fragment", vary(with(44), set16(56, 0xfff8)), packet.DropFragment},
		{"ipv6 fragment behind others", vary(with(0, 60, 43, 44), set16(80, 0x0008)), packet.DropFragment},
		{"ipv6 fragment that is all", with(44).Bytes(), packet.Pending},
		{"ipv6 fragment that is all, reserved bits set", vary(with(44), set16(56, 0x0006)), packet.Pending},
		{"ipv6 fragment that is all, reserved byte set", vary(with(44), set8(55, 0xff)), packet.Pending},
		{"ipv6 fragment header cut by the payload length", vary(with(44), set16(18, 7)), packet.DropMalformed},
		{"ipv6 ah behind others", with(0, 60, 51).Bytes(), packet.DropProtocol},
		{"ipv6 segments left", vary(with(43), set8(54+3, 1)), packet.DropProtocol},
		{"ipv6 extension longer than the packet", vary(with(60), set8(55, 200)), packet.DropMalformed},
		{"ipv6 extension up to the packet's end", vary(with(60), func(b []byte) {
			b[55] = 1 // 16 bytes of 28, the 12 that are left are no TCP header
		}), packet.DropMalformed},
		{"ipv6 extension a little longer than the packet", vary(with(60), set8(55, 3)), packet.DropMalformed},
		{"ipv6 extension cut by the payload length", vary(with(60), set16(18, 7)), packet.DropMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := append([]byte(nil), tt.frame...)
			p := dirty(true)
			if v := packet.Parse(tt.frame, &p); v != tt.want {
				t.Errorf("Parse = %v, want %v", v, tt.want)
			}
			if !cmp.Equal(tt.frame, before) {
				t.Error("Parse wrote into the frame")
			}
		})
	}
}

// A Packet is kept by the batch: it must stay within a cache line, and free of
// pointers, so that the garbage collector has nothing to look at.
func TestPacketIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(packet.Packet{}); n > 64 {
		t.Errorf("a Packet takes %d bytes", n)
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	for name, frame := range benchFrames() {
		var p packet.Packet
		if n := testing.AllocsPerRun(100, func() { packet.Parse(frame, &p) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
