package packet_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// replace calls the function of the packet's family.
func replace(b []byte, p *packet.Packet, src, dst netip.AddrPort) bool {
	from, to := packet.AddrFrom(src.Addr()), packet.AddrFrom(dst.Addr())
	if p.IPv6 {
		return packet.Replace6(b, p, packet.Ends6{Src: &from, Dst: &to, SrcPort: src.Port(), DstPort: dst.Port()})
	}
	return packet.Replace4(b, p, packet.Ends4{Src: from.Low(), Dst: to.Low(), SrcPort: src.Port(), DstPort: dst.Port()})
}

// A rewritten frame is, byte for byte, the frame that gopacket builds with the new ends and
// one hop less.
func TestReplaceIsBuildingAnew(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 11))
	for n := 0; n < 5000; {
		f := packettest.Random(r)
		if !hasPorts(f) {
			continue
		}
		n++
		src := netip.AddrPortFrom(packettest.RandomAddr(r, f.Is4()), uint16(r.Uint32()))
		dst := netip.AddrPortFrom(packettest.RandomAddr(r, f.Is4()), uint16(r.Uint32()))
		original := f.Bytes()
		p := mustParse(t, original)
		b, want := guard(original, 0), f
		went := replace(b.frame(len(original)), &p, src, dst)
		if went != (f.TTL > 1) {
			t.Fatalf("ttl %d: %v", f.TTL, went)
		}
		if went {
			want.TTL--
			want.Src, want.Dst = src, dst
		}
		equalBytes(t, b.frame(len(original)), want)
		b.check(t, len(original))
	}
}

// A packet that was damaged on its way is as damaged when it leaves.
func TestReplaceNeverRepairs(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	for n := 0; n < 5000; {
		f := packettest.Random(r)
		if f.NoChecksum || !hasPorts(f) {
			continue
		}
		n++
		f.TTL = 64
		good, bad := f.Bytes(), f.Bytes()
		p := mustParse(t, good)
		off := uint16(1 + r.IntN(0xfffe))
		spoil(transportSum(bad, &p), off)
		src := netip.AddrPortFrom(packettest.RandomAddr(r, f.Is4()), uint16(r.Uint32()))
		dst := netip.AddrPortFrom(packettest.RandomAddr(r, f.Is4()), uint16(r.Uint32()))
		for _, b := range [][]byte{good, bad} {
			if !replace(b, &p, src, dst) {
				t.Fatal("not rewritten")
			}
		}
		packettest.Verify(t, good)
		if got := difference(transportSum(bad, &p), transportSum(good, &p)); got != off {
			t.Fatalf("a checksum was off by %#x, is by %#x", off, got)
		}
	}
}
