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

// hasPorts reports whether a rewrite of f changes a port.
func hasPorts(f packettest.Frame) bool {
	return f.Proto == packet.ProtoTCP || f.Proto == packet.ProtoUDP
}

// moved returns to with the port that a rewrite of f leaves there.
func moved(f packettest.Frame, to netip.AddrPort) netip.AddrPort {
	if hasPorts(f) {
		return to
	}
	return netip.AddrPortFrom(to.Addr(), 0)
}

// translate calls the function of the packet's family.
func translate(b []byte, p *packet.Packet, side packet.Side, addr *packet.Addr, port uint16) bool {
	if p.IPv6 {
		return packet.Translate6(b, p, side, addr, port)
	}
	return packet.Translate4(b, p, side, addr.Low(), port)
}

// A rewritten frame is, byte for byte, the frame that gopacket builds with the
// new address and port and one hop less: nothing else changed, and every checksum is
// right.
func TestTranslateIsBuildingAnew(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	for range 5000 {
		f := packettest.Random(r)
		to := netip.AddrPortFrom(packettest.RandomAddr(r, f.Is4()), uint16(r.Uint32()))
		addr := packet.AddrFrom(to.Addr())
		original := f.Bytes()
		p := mustParse(t, original)

		for _, side := range []packet.Side{packet.Source, packet.Destination} {
			b, want := guard(original, 0), f
			went := translate(b.frame(len(original)), &p, side, &addr, to.Port())
			if went != (f.TTL > 1) {
				t.Fatalf("ttl %d: %v", f.TTL, went)
			}
			if went {
				want.TTL--
				if side == packet.Source {
					want.Src = moved(f, to)
				} else {
					want.Dst = moved(f, to)
				}
			}
			equalBytes(t, b.frame(len(original)), want)
			b.check(t, len(original))
		}
	}
}

// equalBytes compares with the frame that gopacket builds from want.
func equalBytes(t testing.TB, got []byte, want packettest.Frame) {
	t.Helper()
	if b := want.Bytes(); !bytes.Equal(got, b) {
		t.Logf(" got %x\nwant %x", got, b)
		packettest.Equal(t, got, want) // says it in words
		t.Fatal("bytes differ where gopacket does not look")
	}
}

// A request through NAT and back to where it was is what it was.
func TestTranslateBackAndForth(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for range 5000 {
		f := packettest.Random(r)
		f.TTL = 5
		b := f.Bytes()
		p := mustParse(t, b)
		src, dst := packet.AddrFrom(f.Src.Addr()), packet.AddrFrom(f.Dst.Addr())
		other := packet.AddrFrom(packettest.RandomAddr(r, f.Is4()))
		translate(b, &p, packet.Destination, &other, uint16(r.Uint32()))
		translate(b, &p, packet.Source, &other, uint16(r.Uint32()))
		translate(b, &p, packet.Destination, &dst, f.Dst.Port())
		translate(b, &p, packet.Source, &src, f.Src.Port())
		f.TTL = 1
		equalBytes(t, b, f)
	}
}

// transportSum returns where the transport's checksum is.
func transportSum(b []byte, p *packet.Packet) []byte {
	at := map[uint32]uint16{packet.ProtoTCP: 16, packet.ProtoUDP: 6, packet.ProtoICMP: 2, packet.ProtoICMPv6: 2}
	return b[p.L4+at[p.Key.Proto]:][:2]
}

// A packet that was damaged on its way must be seen as damaged by the receiver:
// its checksums stay off by what they were off.
func TestTranslateNeverRepairs(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 10))
	for range 5000 {
		f := packettest.Random(r)
		if f.NoChecksum {
			continue
		}
		f.TTL = 64
		good, bad := f.Bytes(), f.Bytes()
		p := mustParse(t, good)
		off := uint16(1 + r.IntN(0xfffe))
		spoil(transportSum(bad, &p), off)
		if !p.IPv6 {
			spoil(bad[p.L3+10:][:2], off)
		}
		addr, port := packet.AddrFrom(packettest.RandomAddr(r, f.Is4())), uint16(r.Uint32())
		for _, b := range [][]byte{good, bad} {
			translate(b, &p, packet.Destination, &addr, port)
		}
		packettest.Verify(t, good)
		if got := difference(transportSum(bad, &p), transportSum(good, &p)); got != off {
			t.Fatalf("transport checksum was off by %#x, is by %#x", off, got)
		}
		if !p.IPv6 {
			if got := difference(bad[p.L3+10:], good[p.L3+10:]); got != off {
				t.Fatalf("IP checksum was off by %#x, is by %#x", off, got)
			}
		}
	}
}

// spoil adds off to a checksum, modulo 65535, and avoids 0, which would mean no
// checksum in UDP.
func spoil(field []byte, off uint16) {
	v := (uint32(binary.BigEndian.Uint16(field)) + uint32(off)) % 0xffff
	if v == 0 {
		v = 0xffff
	}
	binary.BigEndian.PutUint16(field, uint16(v))
}

func difference(a, b []byte) uint16 {
	return uint16((uint32(binary.BigEndian.Uint16(a)) + 0xffff - uint32(binary.BigEndian.Uint16(b))) % 0xffff)
}

// Of 65536 ports one makes the checksum 0. UDP must send that as 0xffff, and
// whatever comes next must come out right from there.
func TestTranslateToEveryPort(t *testing.T) {
	for name, f := range map[string]packettest.Frame{
		"tcp4": packettest.TCP(client4, service4, packet.TCPSyn),
		"udp4": packettest.UDP(client4, service4, "odd"),
		"tcp6": packettest.TCP(client6, service6, packet.TCPSyn),
		"udp6": packettest.UDP(client6, service6, "odd"),
	} {
		t.Run(name, func(t *testing.T) {
			original := f.Bytes()
			b := bytes.Clone(original)
			p := mustParse(t, b)
			dst := packet.AddrFrom(f.Dst.Addr())
			f.TTL--
			zeros, ones := 0, 0
			for port := range 65536 {
				copy(b, original)
				translate(b, &p, packet.Destination, &dst, uint16(port))
				switch binary.BigEndian.Uint16(transportSum(b, &p)) {
				case 0:
					zeros++
				case 0xffff:
					ones++
				default:
					if port%97 != 0 {
						continue
					}
				}
				f.Dst = netip.AddrPortFrom(f.Dst.Addr(), uint16(port))
				equalBytes(t, b, f)
			}
			// The sum takes each of 65535 values once, and one of them twice.
			if f.Proto == packet.ProtoUDP && (zeros != 0 || ones == 0) || f.Proto == packet.ProtoTCP && (zeros == 0 || ones != 0) {
				t.Errorf("checksum was 0 %d times, 0xffff %d times", zeros, ones)
			}
		})
	}
}

// In UDP over IPv6 a checksum of 0 is an affair of tunnels and their ends.
func TestTranslateKeepsMissingChecksum(t *testing.T) {
	f := packettest.UDP(client6, service6, "tunnel")
	f.NoChecksum = true
	b := f.Bytes()
	p := mustParse(t, b)
	to := netip.MustParseAddrPort("[2001:db8:10::11]:8080")
	addr := packet.AddrFrom(to.Addr())
	translate(b, &p, packet.Destination, &addr, to.Port())
	f.Dst = to
	f.TTL--
	if want := f.Bytes(); !bytes.Equal(b, want) {
		t.Errorf("\n got %x\nwant %x", b, want)
	}
}

func TestTranslateTakesAHop(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	for ttl := range 256 {
		for range 40 {
			f := packettest.Random(r)
			f.TTL = uint8(ttl)
			original := f.Bytes()
			p := mustParse(t, original)
			b := guard(original, 0)
			went := translate(b.frame(len(original)), &p, packet.Source, &p.Key.Src, p.Key.SrcPort)
			if went != (ttl > 1) {
				t.Fatalf("ttl %d: %v", ttl, went)
			}
			if went {
				f.TTL--
			}
			equalBytes(t, b.frame(len(original)), f)
			b.check(t, len(original))
		}
	}
}

func TestSetMACs(t *testing.T) {
	f := packettest.TCP(client4, service4, packet.TCPSyn)
	f.VLANs = []uint16{7}
	b := f.Bytes()
	dst, src := packet.MAC{2, 0, 0, 0, 9, 1}, packet.MAC{2, 0, 0, 0, 9, 2}
	packet.SetMACs(b, dst.Word(), src.Word())
	if packet.DestinationMAC(b) != dst || packet.SourceMAC(b) != src || packet.SourceWord(b) != src.Word() {
		t.Errorf("MACs are %v and %v", packet.DestinationMAC(b), packet.SourceMAC(b))
	}
	f.DstMAC, f.SrcMAC = dst, src
	equalBytes(t, b, f)
	if got := dst.String(); got != "02:00:00:00:09:01" {
		t.Errorf("String() = %q", got)
	}
}

func TestMACIsGroup(t *testing.T) {
	for mac, want := range map[packet.MAC]bool{
		{0x02, 0, 0, 0, 0, 1}:                false,
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}: true,
		{0x01, 0, 0x5e, 0, 0, 1}:             true,
		{0x33, 0x33, 0, 0, 0, 1}:             true,
	} {
		if got := mac.IsGroup(); got != want {
			t.Errorf("%v: %v", mac, got)
		}
	}
}

func TestTranslateDoesNotAllocate(t *testing.T) {
	for name, frame := range benchFrames() {
		p := mustParse(t, frame)
		addr := p.Key.Src
		if n := testing.AllocsPerRun(100, func() {
			translate(frame, &p, packet.Destination, &addr, 1)
			translate(frame, &p, packet.Source, &addr, 2)
			packet.SetMACs(frame, 0, 0)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// The MACs and one hop are all that changes, and the checksums are right.
func TestRelay(t *testing.T) {
	r := rand.New(rand.NewPCG(24, 24))
	to, from := packet.MAC{2, 0, 0, 0, 0, 0x51}, packet.MAC{2, 0, 0, 0, 0, 0x52}
	for range 3000 {
		f := packettest.Random(r)
		f.TTL = uint8(r.IntN(256) >> r.IntN(8))
		want := packet.Forwarded
		switch {
		case r.IntN(10) == 0:
			f.SrcMAC, want = to, packet.DropLoop
		case f.TTL <= 1:
			want = packet.DropTTL
		}
		b := f.Bytes()
		p := mustParse(t, b)
		g := guard(b, 0)
		if got := packet.Relay(g.frame(len(b)), &p, to.Word(), from.Word()); got != want {
			t.Fatalf("ttl %d from %v: %v, want %v", f.TTL, f.SrcMAC, got, want)
		}
		g.check(t, len(b))
		if want == packet.Forwarded {
			f.DstMAC, f.SrcMAC = to, from
			f.TTL--
		}
		packettest.Equal(t, g.frame(len(b)), f)
	}
}
