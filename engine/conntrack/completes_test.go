package conntrack

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/packet"
)

// A segment completes a handshake if, and only if, a half-open flow that a SYN has begun is
// established by it.
func TestCompletes(t *testing.T) {
	completed := 0
	rapid.Check(t, func(rt *rapid.T) {
		tab := newTable(16, 1)
		n := newFlow(1, packet.ProtoTCP)
		n.Paired, n.Opened = rapid.Bool().Draw(rt, "replies"), rapid.Bool().Draw(rt, "opened")
		c := &talk{tab: tab, ref: mustInsert(t, tab, n, 0), next: [numDirections]uint32{1000, 5000}}
		near := rapid.SampledFrom([]uint32{0, 0, 0, 1, ^uint32(0), 1000, window, 1 << 30})
		for range rapid.IntRange(1, 12).Draw(rt, "segments") {
			d := Direction(rapid.IntRange(0, 1).Draw(rt, "direction"))
			if !n.Paired {
				d = Request
			}
			flags := rapid.SampledFrom([]uint8{syn, synAck, ack, ack, ack | fin, rst, rst | ack}).Draw(rt, "flags")
			s := packet.Segment{Seq: c.next[d] + near.Draw(rt, "seq"), Flags: flags}
			if flags&packet.TCPAck != 0 {
				s.Ack = c.next[d^1] + near.Draw(rt, "ack")
			}
			s.Next = s.Seq + uint32(flags>>1&1) + uint32(flags&1)
			if rapid.Bool().Draw(rt, "real") {
				c.next[d] = s.Next
			}
			f, was := tab.Flow(c.ref), tab.Flow(c.ref).Class()
			says := f.Completes(d, s)
			is := c.forge(d, s)
			opens := n.Opened && was == TCPSyn
			if opens && is.stands() && !says || says && (!opens || is == TCPSyn) {
				rt.Fatalf("%v, %v, %+v: from %v to %v, and Completes says %t", d, n.Paired, s, was, is, says)
			}
			if says {
				completed++
			}
		}
	})
	if completed == 0 {
		t.Error("no handshake was completed")
	}
}
