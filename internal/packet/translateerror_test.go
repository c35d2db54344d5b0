package packet_test

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// quoting returns the error to f's sender about f, or as much of it as n bytes.
func quoting(f packettest.Frame, kind uint8, n int) packettest.Frame {
	e := withoutPorts(back(f), kind, 4)
	e.EchoID, e.EchoSeq = 0x1234, 1300 // as of an MTU: it passes through
	quote := f.Bytes()[14+4*len(f.VLANs):]
	quote = quote[:len(quote)-f.Padding]
	e.Payload = quote[:min(n, len(quote))]
	return e
}

// mustQuote parses an error, and finds the quoted packet.
func mustQuote(t testing.TB, b []byte) (p packet.Packet, q packet.Quote) {
	t.Helper()
	v := packet.Parse(b, &p)
	q, ok := packet.Quoted(b, &p)
	if v != packet.DropICMP || !ok {
		t.Fatalf("%x: %v, quotes %v", b, v, ok)
	}
	return p, q
}

// An error that is translated is, byte for byte, the one about the packet that gopacket
// builds with the other address and port, however much of it is quoted.
func TestTranslateErrorIsBuildingAnew(t *testing.T) {
	r := rand.New(rand.NewPCG(24, 24))
	for range 5000 {
		f := randomOf(r, func(f *packettest.Frame) bool { return !f.Dst.Addr().IsLinkLocalUnicast() }) // it is the error's source
		sent := mustParse(t, f.Bytes())
		to := netip.AddrPortFrom(packettest.RandomAddr(r, f.Is4()), uint16(r.Uint32()))
		addr := packet.AddrFrom(to.Addr())
		kinds := aboutErrors(f)
		kind := kinds[r.IntN(len(kinds))]
		quoted := 8 + r.IntN(1<<r.IntN(11)) // of the transport
		if quoted == 17 {                   // half of TCP's checksum can't be updated
			quoted++
		}
		n := int(sent.L4-sent.L3) + quoted
		for _, side := range []packet.Side{packet.Source, packet.Destination} {
			changed := f
			if side == packet.Source {
				changed.Dst = moved(f, to)
			} else {
				changed.Src = moved(f, to)
			}
			want := quoting(changed, kind, n)
			in := quoting(f, kind, n)
			if side == packet.Source && !to.Addr().IsLinkLocalUnicast() { // from a router, say
				in.Src = netip.AddrPortFrom(to.Addr().Next(), 0)
			}
			b := in.Bytes()
			g := guard(b, 0)
			p, q := mustQuote(t, b)
			packet.TranslateError(g.frame(len(b)), &p, &q, side, &addr, to.Port())
			equalBytes(t, g.frame(len(b)), want)
			g.check(t, len(b))
		}
	}
}

// Checksums of the error and of what it quotes stay off by what they were off: a host that
// gets a damaged error must see that, and one that quotes a damaged packet says so.
func TestTranslateErrorNeverRepairs(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 25))
	for range 5000 {
		f := randomOf(r, func(f *packettest.Frame) bool {
			return hasPorts(*f) && !f.NoChecksum && !f.Dst.Addr().IsLinkLocalUnicast()
		})
		addr, port := packet.AddrFrom(packettest.RandomAddr(r, f.Is4())), uint16(r.Uint32())
		good := quoting(f, aboutErrors(f)[0], 2000).Bytes()
		bad := bytes.Clone(good)
		p, q := mustQuote(t, good)
		quoted := packet.Packet{Key: q.Key, L3: q.L3, L4: q.L4, IPv6: p.IPv6}
		off := uint16(1 + r.IntN(0xfffe))
		spoil(transportSum(bad, &quoted), off)
		spoil(transportSum(bad, &p), off) // by this much, and by what the quote is off
		if !p.IPv6 {
			spoil(bad[q.L3+10:][:2], off)
		}
		before := []uint16{errorResidue(bad, &p), difference(transportSum(bad, &quoted), transportSum(good, &quoted))}
		for _, b := range [][]byte{good, bad} {
			packet.TranslateError(b, &p, &q, packet.Source, &addr, port)
		}
		packettest.Verify(t, good)
		after := []uint16{errorResidue(bad, &p), difference(transportSum(bad, &quoted), transportSum(good, &quoted))}
		if before[0] != after[0] || before[1] != after[1] {
			t.Fatalf("checksums were off by %#x, are by %#x", before, after)
		}
		if !p.IPv6 {
			if got := difference(bad[q.L3+10:], good[q.L3+10:]); got != off {
				t.Fatalf("the quoted IP checksum was off by %#x, is by %#x", off, got)
			}
		}
	}
}

// errorResidue returns by how much the checksum of an error is off.
func errorResidue(b []byte, p *packet.Packet) uint16 {
	_, l4 := residues(b, p)
	return l4
}

// FuzzTranslateError: what the quote holds has the translation neither fail nor write
// elsewhere, and it is undone by the translation back.
func FuzzTranslateError(f *testing.F) {
	errorSeeds(func(frame []byte) { f.Add(frame, true, []byte("sixteen bytes 6."), uint16(8080)) })
	f.Fuzz(func(t *testing.T, data []byte, source bool, to []byte, port uint16) {
		var p packet.Packet
		if packet.Parse(data, &p) != packet.DropICMP {
			return
		}
		q, ok := packet.Quoted(data, &p)
		if !ok {
			return
		}
		addr := fuzzAddr(to, p.IPv6)
		side, quoted, was, wasPort := packet.Destination, &q.Key.Src, q.Key.Src, q.Key.SrcPort
		outer := &p.Key.Dst
		if source {
			side, quoted, was, wasPort = packet.Source, &q.Key.Dst, q.Key.Dst, q.Key.DstPort
			outer = &p.Key.Src
		}
		g := guard(data, 0)
		b := g.frame(len(data))
		residue := errorResidue(data, &p)
		packet.TranslateError(b, &p, &q, side, &addr, port)
		g.check(t, len(data))
		if got := errorResidue(b, &p); got != residue {
			t.Fatalf("the checksum was off by %#x, is by %#x", residue, got)
		}
		again, now := mustQuote(t, b)
		*quoted = addr
		if hasPorts(packettest.Frame{Proto: uint8(q.Key.Proto)}) {
			if source {
				q.Key.DstPort = port
			} else {
				q.Key.SrcPort = port
			}
		}
		if before := *outer; now != q || source && again.Key.Src != addr || !source && again.Key.Dst != addr || before == addr && again != p {
			t.Fatalf("became %+v about %+v, want %+v", again, now, q)
		}
		if *outer != was {
			return // a router's address is not kept
		}
		packet.TranslateError(b, &again, &now, side, &was, wasPort)
		if !bytes.Equal(blankError(b, &p, &q), blankError(data, &p, &q)) {
			t.Fatalf("there and back:\n got %x\nwant %x", b, data)
		}
	})
}

// blankError returns b without its checksums: 0 and 0xffff are the same number.
func blankError(b []byte, p *packet.Packet, q *packet.Quote) []byte {
	b = bytes.Clone(b)
	clear(b[p.L4+2:][:2])
	if !p.IPv6 {
		clear(b[p.L3+10:][:2])
		clear(b[q.L3+10:][:2])
	}
	at := map[uint32]int{packet.ProtoTCP: 16, packet.ProtoUDP: 6, packet.ProtoICMPv6: 2}[q.Key.Proto]
	if sum := int(q.L4) + at; at != 0 && sum+2 <= int(p.End) { // else it is not quoted
		clear(b[sum:][:2])
	}
	return b
}
