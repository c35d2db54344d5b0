package packet_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// pieces returns the frames of all pieces of a frame, each of which is written within its
// bounds.
func pieces(t *testing.T, frame []byte, mtu int) (list [][]byte) {
	t.Helper()
	p := dirty(true)
	if v := packet.Parse(frame, &p); v != packet.Pending && v != packet.DropFragment {
		t.Fatalf("parsed as %v", v)
	}
	if !packet.Divisible(frame, &p) {
		return nil
	}
	before, sum := bytes.Clone(frame), 0
	for k := 0; packet.PieceLen(&p, mtu, k) > 0; k++ {
		n := packet.PieceLen(&p, mtu, k)
		g := guard(make([]byte, n), 0)
		packet.Piece(g.frame(n), frame, &p, mtu, k)
		g.check(t, n)
		if n-int(p.L3) > mtu {
			t.Fatalf("piece %d has %d bytes, of at most %d", k, n-int(p.L3), mtu)
		}
		list = append(list, g.frame(n))
		sum += n
	}
	if got := packet.PiecesLen(&p, mtu); got != sum || !bytes.Equal(frame, before) {
		t.Fatalf("%d bytes in all, want %d", got, sum)
	}
	return list
}

// The pieces of a packet, and those of these, are the packet when they are put together.
func TestPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	cut := 0
	for range 500 {
		f := packettest.Random(r)
		f.Payload = append(f.Payload, make([]byte, r.IntN(3000))...)
		if f.Src.Addr().IsLinkLocalUnicast() {
			continue
		}
		whole := f.Bytes()
		list := pieces(t, whole, 68+r.IntN(1500))
		if want := f.Is4() && !f.DF && len(f.IPOptions) == 0; (list != nil) != want {
			t.Fatalf("cut: %v, want %v: %+v", list != nil, want, f)
		}
		if list == nil {
			continue
		}
		var all [][]byte
		for _, b := range list {
			all = append(all, pieces(t, b, 68+r.IntN(1500))...)
		}
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		if len(all) > 1 {
			cut++
		}
		got, err := packettest.Assemble(all)
		if err != nil || !bytes.Equal(got, whole[:len(whole)-f.Padding]) {
			t.Fatalf("%x became %x: %v", whole, got, err)
		}
	}
	if cut < 50 {
		t.Errorf("only %d were cut", cut)
	}
}
