package conntrack

import (
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// move puts a flow into a class, whatever the rules say.
func (t *Table) move(r Ref, to Class, now uint32) { t.reclassify(r, t.Flow(r).Class(), to, now) }

// talk is one TCP connection with sound numbers on both sides, or a stranger's idea of it.
type talk struct {
	tab  *Table
	ref  Ref
	next [numDirections]uint32 // of what each side sends
	now  uint32
}

// newTalk begins, in a table of its own, with numbers that run over soon.
func newTalk(t *testing.T, replies bool) *talk {
	t.Helper()
	return newTalkIn(t, newTable(16, 1), replies)
}

func newTalkIn(t *testing.T, tab *Table, replies bool) *talk {
	t.Helper()
	n := newFlow(1, packet.ProtoTCP)
	n.Paired = replies
	return &talk{tab: tab, ref: mustInsert(t, tab, n, 0), next: [numDirections]uint32{^uint32(0) - 20, ^uint32(0) - 5}}
}

// send lets side d send n bytes with these flags, and returns the flow's class then.
func (c *talk) send(d Direction, flags uint8, n uint32) Class {
	s := packet.Segment{Seq: c.next[d], Flags: flags}
	if flags&packet.TCPAck != 0 {
		s.Ack = c.next[d^1]
	}
	s.Next = s.Seq + n + uint32(flags>>1&1) + uint32(flags&1)
	c.next[d] = s.Next
	return c.forge(d, s)
}

// forge is a segment with any numbers.
func (c *talk) forge(d Direction, s packet.Segment) Class {
	f := c.tab.Flow(c.ref)
	switch {
	case !f.Settled(d, s.Flags):
		c.tab.Advance(ref(c.ref.index(), d), f, s, c.now)
	case s.Flags&packet.TCPAck != 0:
		if !f.Follow(d, s) {
			f.FollowFar(d, s)
		}
	}
	return f.Class()
}

// open makes the connection an established one.
func (c *talk) open(t *testing.T) {
	t.Helper()
	want := TCPOneSided
	c.send(Request, syn, 0)
	if c.tab.Flow(c.ref).Paired() {
		want = TCPEstablished
		c.send(Reply, synAck, 0)
	} else {
		c.next[Reply]++ // the SYN-ACK, which nobody sees here
	}
	if got := c.send(Request, ack, 0); got != want {
		t.Fatalf("after a handshake the class is %v, want %v", got, want)
	}
}
