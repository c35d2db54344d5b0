package packet_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// splitUp splits a frame until all parts fit into mtu in IPv6, and translates them.
func splitUp(t *testing.T, frame []byte, mtu int, to *packet.Key) (list [][]byte) {
	t.Helper()
	var p packet.Packet
	packet.Parse(frame, &p)
	ethernet := bytes.Clone(frame[:p.L3])
	emit := func(b []byte, p packet.Packet) {
		b = append(bytes.Clone(ethernet), b[p.L3:p.End]...)
		got, v := xlat(t, b, to)
		if v != packet.Pending {
			t.Fatalf("%v of %x", v, b)
		}
		if len(got)-len(ethernet) > mtu {
			t.Fatalf("%d bytes do not fit into %d", len(got)-len(ethernet), mtu)
		}
		list = append(list, got)
	}
	for {
		n, v := packet.XlatGrowth(frame, &p)
		if v != packet.Pending {
			t.Fatalf("%v of %x", v, frame[p.L3:p.End])
		}
		if int(p.End-p.L3)+n <= mtu {
			emit(frame, p)
			return list
		}
		size := packet.SplitAt(frame, &p, mtu)
		if size == 0 {
			t.Fatalf("%d bytes stay in one piece", p.End-p.L3)
		}
		rest := bytes.Repeat([]byte{canary}, len(frame))
		q := packet.Split(frame, &p, size, rest)
		if !bytes.Equal(rest[q.End:], bytes.Repeat([]byte{canary}, len(frame)-int(q.End))) {
			t.Fatalf("wrote behind the end at %d", q.End)
		}
		emit(frame, p)
		frame, p = rest, q
	}
}

// A packet that is split is, put together again, the packet translated as a whole; and one
// that was a fragment before becomes more of them.
func TestSplitUp(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 79))
	for range 500 {
		f := withPorts(r)
		if !f.Is4() {
			continue
		}
		f.DF, f.VLANs, f.Payload = false, nil, make([]byte, 1300+r.IntN(2000))
		f.Payload[r.IntN(len(f.Payload))] = 7
		to := otherEnds(r, f)
		whole, _ := xlat(t, f.Bytes(), &to)
		want, got := whole[14+40:], make([]byte, len(whole)-14-40)
		var frames [][]byte
		if frames = [][]byte{f.Bytes()}; r.IntN(2) == 0 {
			f.IPOptions, f.NoChecksum = nil, false
			frames = inPieces(f, 4711, 8*(80+r.IntN(100)))
			whole, _ = xlat(t, f.Bytes(), &to)
			want = whole[14+40:]
		}
		ids := map[uint32]bool{}
		last := 0
		for _, b := range frames {
			for _, out := range splitUp(t, b, 1280+r.IntN(100), &to) {
				if !isIPv4(out) && out[20] != 44 {
					t.Fatalf("not a fragment: %x", out)
				}
				is := pieceOf(out)
				if copy(got[is.offset:], is.data); !is.more {
					last++
				}
				ids[is.id] = true
			}
		}
		if last != 1 || len(ids) != 1 || !bytes.Equal(got, want) {
			t.Fatalf("%d last fragments, %d identifications, together\n%x, want\n%x", last, len(ids), got, want)
		}
	}
}

func TestSplitAt(t *testing.T) {
	f := packettest.UDP(client4, service4, string(make([]byte, 1400)))
	f6 := packettest.UDP(client6, service6, string(make([]byte, 1400)))
	still := f
	still.DF = true
	end := fragmented(f, 8000, false)
	for name, c := range map[string]struct {
		frame []byte
		mtu   int
		want  int
	}{
		"1280":                {f.Bytes(), 1280, 1232},
		"not a multiple of 8": {f.Bytes(), 1287, 1232},
		"the next one":        {f.Bytes(), 1288, 1240},
		"it fits":             {f.Bytes(), 1456, 0},
		"all but a byte":      {f.Bytes(), 1455, 1400},
		"DF":                  {still.Bytes(), 1280, 0},
		"IPv6":                {f6.Bytes(), 1280, 0},
		"no room at all":      {f.Bytes(), 60, 0},
		"no MTU":              {f.Bytes(), 0, 0},
		"behind the end":      {end, 1280, 1232},
		"over the end":        {vary(f, set16(20, 8191)), 1280, 0},
	} {
		var p packet.Packet
		packet.Parse(c.frame, &p)
		if got := packet.SplitAt(c.frame, &p, c.mtu); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
