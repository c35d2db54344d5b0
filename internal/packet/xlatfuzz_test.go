package packet_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// FuzzXlat translates whatever is there, with whatever the wire holds in it: what
// comes out parses as what it was, and no byte outside of it is written.
func FuzzXlat(f *testing.F) {
	r := rand.New(rand.NewPCG(79, 79))
	seeds(func(frame []byte) { f.Add(frame, []byte("sixteen bytes 6."), uint16(8080)) })
	for range 20 {
		frame := withPorts(r)
		f.Add(resummed(fragmented(frame, uint16(r.IntN(2)), true)), []byte("sixteen bytes 6."), uint16(8080))
		f.Add(message{kind: 3, code: 4}.about(frame, 200).Bytes(), []byte("sixteen bytes 6."), uint16(8080))
		f.Add(message{kind: 11}.about(frame, 200).Bytes(), []byte("sixteen bytes 6."), uint16(8080))
	}
	f.Fuzz(func(t *testing.T, data, ends []byte, port uint16) {
		var p packet.Packet
		before := bytes.Clone(data)
		v := packet.Parse(data, &p)
		to := packet.Key{Src: fuzzAddr(ends, !p.IPv6), Dst: fuzzAddr(bytes.TrimRight(ends, "."), !p.IPv6), SrcPort: port, DstPort: ^port}
		switch v {
		case packet.Pending, packet.DropFragment:
			fuzzXlat(t, data, &to)
		case packet.DropICMP:
			fuzzXlat(t, data, &to)
			if got, v := xlatError(t, data, &to, &to); v == packet.Pending {
				checkXlatError(t, got, &to, sumOff(data, &p))
			}
		}
		if !bytes.Equal(data, before) {
			t.Fatal("wrote to a frame that was only asked about")
		}
	})
}

func fuzzXlat(t *testing.T, data []byte, to *packet.Key) {
	got, v := xlat(t, data, to)
	if v != packet.Pending {
		return
	}
	var was, is packet.Packet
	packet.Parse(data, &was)
	now := packet.Parse(got, &is)
	if is.Key.Src != to.Src || is.Key.Dst != to.Dst || is.End-is.L4 != was.End-was.L4 {
		t.Fatalf("%v: %+v becomes %+v, want ends %+v", now, was, is, to)
	}
	switch {
	case now == packet.Pending && was.Key.Proto == packet.ProtoUDP && !was.IPv6 && transportSum(data, &was)[0]|transportSum(data, &was)[1] == 0:
		packettest.Verify(t, got)
	case now == packet.Pending:
		if hop := is.Hops(got); hop != was.Hops(data)-1 {
			t.Fatalf("%d hops left of %d", hop, was.Hops(data))
		}
		if a, b := sumOff(data, &was), sumOff(got, &is); a != b {
			t.Fatalf("checksum was off by %#x, is by %#x\n%x\n%x", a, b, data, got)
		}
	case now != packet.DropFragment && now != packet.DropICMP:
		t.Fatalf("%v of the translated %x", now, got)
	}
}

// sumOff returns by how much the checksum of a packet's transport is off, give or take what
// is the same in the pseudo-headers of both families.
func sumOff(b []byte, p *packet.Packet) uint16 {
	_, off := residues(b, p)
	if p.Key.Proto == packet.ProtoICMPv6 {
		off = uint16((int(off) + packet.ProtoICMPv6 + int(p.End-p.L4)) % 0xffff)
	}
	return off
}

func checkXlatError(t *testing.T, got []byte, to *packet.Key, was uint16) {
	var p packet.Packet
	if v := packet.Parse(got, &p); v != packet.DropICMP {
		t.Fatalf("%v of the translated %x", v, got)
	}
	if off := sumOff(got, &p); off != was {
		t.Fatalf("checksum was off by %#x, is by %#x in %x", was, off, got)
	}
	q, ok := packet.Quoted(got, &p)
	q.Key.Proto = 0
	if !ok || q.Key != *to {
		t.Fatalf("quotes %+v (%v), want %+v", q, ok, to)
	}
}
