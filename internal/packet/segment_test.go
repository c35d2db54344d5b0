package packet_test

import (
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func TestSegment(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 21))
	for range 3000 {
		f := packettest.Random(r)
		b := f.Bytes()
		p := mustParse(t, b)
		var want packet.Segment
		if f.Proto == packet.ProtoTCP {
			want = packet.Segment{Seq: f.Seq, Ack: f.Ack, Flags: f.Flags, Next: f.Seq + uint32(len(f.Payload))}
			for _, counts := range []uint8{packet.TCPSyn, packet.TCPFin} {
				if f.Flags&counts != 0 {
					want.Next++
				}
			}
		}
		if got := p.Segment(b); got != want {
			t.Fatalf("%+v holds %+v, want %+v", f, got, want)
		}
	}
}
