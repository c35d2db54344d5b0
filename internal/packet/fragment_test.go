package packet_test

import (
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// fragmented returns the bytes of f, without extension headers of its own, as a fragment
// at an offset in units of 8 bytes.
func fragmented(f packettest.Frame, offset uint16, more bool) []byte {
	f.Extensions = nil
	at := 14 + 4*len(f.VLANs) + 6
	place := offset
	if more {
		place |= 0x2000
	}
	if !f.Is4() {
		f.Extensions = []packettest.Extension{{Type: 44, Data: make([]byte, 6)}}
		at += 36
		if place = offset << 3; more {
			place |= 1
		}
	}
	return vary(f, set16(at, place))
}

// Of a fragment as much is known as it says itself.
func TestFragment(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for range 2000 {
		f := packettest.Random(r)
		if f.Src.Addr().IsLinkLocalUnicast() {
			continue
		}
		offset, more := uint16(r.IntN(3)), true
		if offset > 0 {
			more = r.IntN(2) == 0
		}
		b := fragmented(f, offset, more)
		want := f.Key()
		if offset > 0 || f.Proto != packet.ProtoTCP && f.Proto != packet.ProtoUDP {
			want.SrcPort, want.DstPort = 0, 0
		}
		p, again := dirty(false), dirty(true)
		if v := packet.Parse(b, &p); v != packet.DropFragment || packet.Parse(b, &again) != v || again != p {
			t.Fatalf("%v of %x: %+v, %+v", v, b, p, again)
		}
		if p.Key != want || p.IPv6 != !want.Src.Is4() || p.Echo || p.TCPFlags != 0 {
			t.Fatalf("%x: %+v, want %+v", b, p, want)
		}
	}
}

// A first fragment without room for ports has none, and martians stay such.
func TestFragmentIsRead(t *testing.T) {
	short := vary(packettest.TCP(client4, service4, packet.TCPAck), set16(20, 0x2000))
	set16(16, 20+3)(short)
	p := dirty(true)
	if v := packet.Parse(short, &p); v != packet.DropFragment || p.Key.SrcPort != 0 || p.Key.Proto != packet.ProtoTCP {
		t.Errorf("%v, %+v", v, p)
	}
	martian := vary(packettest.TCP(client4, service4, packet.TCPAck), set16(20, 0x2000))
	martian[26] = 127
	if v := packet.Parse(martian, &p); v != packet.DropMartian {
		t.Errorf("from 127.51.100.7: %v", v)
	}
}
