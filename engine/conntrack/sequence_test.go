package conntrack

import (
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// far is a number that is no side's, and no window's.
const far = 1 << 30

// forgeries are what a stranger may send who knows addresses and ports, and guesses the
// numbers wrong.
var forgeries = map[string][]struct {
	dir   Direction
	flags uint8
}{
	"RST":                 {{Request, rst}},
	"RST with ACK":        {{Request, rst | ack}},
	"RST, SYN":            {{Request, rst}, {Request, syn}},
	"RST of the backend":  {{Reply, rst}, {Reply, rst | ack}},
	"FINs of both":        {{Request, fin}, {Reply, fin}},
	"ACKs and RSTs":       {{Request, ack}, {Reply, ack}, {Request, rst}, {Reply, rst}, {Request, syn}},
	"SYN, ACK, RST, SYN":  {{Request, syn}, {Request, ack}, {Request, rst}, {Request, syn}},
	"SYN-ACK, RST":        {{Reply, synAck}, {Reply, rst}, {Request, rst}},
	"FIN with SYN":        {{Request, fin | syn}, {Reply, fin | syn}},
	"RST with SYN":        {{Request, rst | syn}, {Request, syn}},
	"RST with everything": {{Request, 0xff}, {Reply, 0xff}},
}

// A live connection goes on as if nothing had come, and its real end is understood.
func TestForgeriesChangeNothing(t *testing.T) {
	for name, forged := range forgeries {
		for _, replies := range []bool{true, false} {
			c := newTalk(t, replies)
			c.open(t)
			f := c.tab.Flow(c.ref)
			class, expected := f.Class(), [2]uint32{f.Expected(Request), f.Expected(Reply)}
			stranger := *c
			stranger.next[Request], stranger.next[Reply] = c.next[Request]+far, c.next[Reply]+far
			for _, s := range forged {
				if s.dir == Reply && !replies {
					continue
				}
				if got := stranger.send(s.dir, s.flags, 100); got != class || f.Reopens(syn) {
					t.Errorf("%s, replies %v: the class became %v", name, replies, got)
				}
			}
			if got := [2]uint32{f.Expected(Request), f.Expected(Reply)}; got != expected {
				t.Errorf("%s, replies %v: the numbers became %v, were %v", name, replies, got, expected)
			}
			c.send(Request, ack, 10)
			if replies {
				c.send(Reply, ack, 10)
				if got := c.send(Reply, fin, 0); got != class {
					t.Errorf("%s, replies %v: %v after one FIN", name, replies, got)
				}
			}
			want := map[bool]Class{true: TCPClosing, false: TCPFinWait}[replies]
			if got := c.send(Request, fin, 0); got != want {
				t.Errorf("%s, replies %v: %v after the last FIN", name, replies, got)
			}
		}
	}
}

// Nor does a half-closed one end, of which only the client's side is seen: a stranger can
// have its numbers forgotten there, but a SYN goes to the same backend after all of it.
func TestForgeriesChangeNothingOfAHalfClosedFlow(t *testing.T) {
	for name, forged := range forgeries {
		c := newTalk(t, false)
		c.open(t)
		c.send(Request, fin, 0)
		f := c.tab.Flow(c.ref)
		stranger := *c
		stranger.next[Request], stranger.next[Reply] = c.next[Request]+far, c.next[Reply]+far
		for range 2 {
			for _, s := range forged {
				if s.dir == Reply {
					continue
				}
				if got := stranger.send(s.dir, s.flags, 0); got.over() || f.Reopens(syn) {
					t.Errorf("%s: the class became %v", name, got)
				}
			}
		}
		if got := c.send(Request, ack, 0); got.over() {
			t.Errorf("%s: %v when the client goes on", name, got)
		}
	}
}

// A stranger who can speak for both sides can have the numbers forgotten, by a handshake.
// Then no RST or FIN counts any more, until the two who are really there have confirmed
// theirs to each other.
func TestAForgedHandshakeIsForgotten(t *testing.T) {
	c := newTalk(t, true)
	c.open(t)
	stranger := *c
	stranger.next[Request], stranger.next[Reply] = c.next[Request]+far, c.next[Reply]+far
	for _, s := range []struct {
		dir   Direction
		flags uint8
	}{{Request, syn}, {Reply, synAck}, {Request, rst}, {Reply, rst}, {Reply, fin}, {Request, rst | ack}} {
		if got := stranger.send(s.dir, s.flags, 0); got != TCPEstablished {
			t.Fatalf("flags %#x from side %d: %v", s.flags, s.dir, got)
		}
	}
	c.send(Reply, ack, 10)
	c.send(Request, ack, 10)
	if f := c.tab.Flow(c.ref); f.Expected(Request) != c.next[Request]-10 || !f.Proves(Reply, c.next[Reply], c.next[Request]) {
		t.Errorf("%d is expected of the client, it is at %d", f.Expected(Request), c.next[Request])
	}
	c.send(Request, fin, 0)
	if got := c.send(Reply, fin, 0); got != TCPClosing {
		t.Errorf("closed: %v", got)
	}
}

// Nor has an old SYN-ACK that comes late them forgotten: a stranger's SYN may be before it.
func TestAnOldSYNACKAgreesToNothing(t *testing.T) {
	c := newTalk(t, true)
	c.send(Request, syn, 0)
	late := packet.Segment{Seq: c.next[Reply], Next: c.next[Reply] + 1, Ack: c.next[Request], Flags: synAck}
	c.send(Reply, synAck, 0)
	c.send(Request, ack, 100)
	c.forge(Request, packet.Segment{Seq: far, Next: far + 1, Flags: syn})
	c.forge(Reply, late)
	if f := c.tab.Flow(c.ref); !f.Proven() || f.Expected(Request) != late.Ack {
		t.Errorf("proven %v; the client is at %d, want %d", f.Proven(), f.Expected(Request), late.Ack)
	}
}

// While a handshake is under way the numbers of one side can be guessed by nobody either.
func TestForgeriesInAHandshake(t *testing.T) {
	for name, forged := range forgeries {
		for at := range 3 { // before the SYN-ACK, before the ACK, and before both
			c := newTalk(t, true)
			stranger := *c
			stranger.next[Request], stranger.next[Reply] = c.next[Request]+far, c.next[Reply]+far
			attack := func(when bool) {
				for _, s := range forged {
					if when && s.flags&rst == 0 && s.dir == Request {
						stranger.send(s.dir, s.flags, 100)
					}
				}
			}
			c.send(Request, syn, 0)
			attack(at != 1)
			c.send(Reply, synAck, 0)
			attack(at != 0)
			if got := c.send(Request, ack, 0); got != TCPEstablished {
				t.Errorf("%s at %d: %v after the handshake", name, at, got)
			}
			c.send(Reply, fin, 0)
			if got := c.send(Request, ack, 1000); got != TCPEstablished {
				t.Errorf("%s at %d: %v after one FIN", name, at, got)
			}
		}
		c := newTalk(t, true)
		c.send(Request, syn, 0)
		c.send(Reply, synAck, 0)
		c.next[Request] += far
		if got := c.send(Request, rst, 0); got != TCPSyn {
			t.Errorf("a wrong RST in a handshake: %v", got)
		}
	}
}

// Who never saw the SYN-ACK is not established by an ACK: a false source may send both.
func TestABlindACKProvesNothing(t *testing.T) {
	c := newTalk(t, true)
	c.send(Request, syn, 0)
	c.send(Reply, synAck, 0)
	c.next[Reply] += far
	if got := c.send(Request, ack, 100); got != TCPSyn {
		t.Errorf("class %v", got)
	}
}

// A connection that was picked up in mid-stream is not ended by who says a number first, and
// then keeps to it.
func TestForgeriesInMidStream(t *testing.T) {
	for _, replies := range []bool{true, false} {
		c := newTalk(t, replies)
		c.send(Request, ack, 100)
		stranger := *c
		stranger.next[Request], stranger.next[Reply] = c.next[Request]+far, c.next[Reply]+far
		stranger.send(Request, ack, 100)
		for _, flags := range []uint8{rst, rst | ack} {
			if got := stranger.send(Request, flags, 0); got != TCPSyn {
				t.Errorf("replies %v: %v after a stranger's RST", replies, got)
			}
		}
	}
}

// The RSTs that ends really send, and the same with a number that is a little off.
func TestCredibleResets(t *testing.T) {
	for _, replies := range []bool{true, false} {
		for name, c := range map[string]struct {
			dir   Direction
			flags uint8
			seq   uint32 // from what the other side expects
			ack   uint32 // from what the sender acknowledged last
			want  bool
		}{
			"answer":                        {Request, rst, 0, far, true},
			"answer of the backend":         {Reply, rst, 0, far, true},
			"abort":                         {Request, rst | ack, 0, 0, true},
			"abort of the backend":          {Reply, rst | ack, 0, 0, true},
			"abort, data under way":         {Request, rst | ack, window - 1, tight - 1, true},
			"too far ahead":                 {Request, rst | ack, window, 0, false},
			"behind":                        {Request, rst | ack, ^uint32(0), 0, false},
			"wrong acknowledgement":         {Request, rst | ack, 1, tight, false},
			"one off, and none":             {Request, rst, 1, 0, false},
			"one behind":                    {Request, rst, ^uint32(0), 0, false},
			"the backend's, one off":        {Reply, rst, 1, 0, false},
			"the backend's, wrong ack":      {Reply, rst | ack, 1, far, false},
			"exact, wrong acknowledgement":  {Request, rst | ack, 0, far, true},
			"one behind, acknowledges less": {Reply, rst | ack, 1, ^uint32(0), false},
		} {
			if c.dir == Reply && !replies {
				continue
			}
			k := newTalk(t, replies)
			k.open(t)
			k.now = 2 * refusedWithin
			f := k.tab.Flow(k.ref)
			got := k.forge(c.dir, packet.Segment{Seq: f.Expected(c.dir) + c.seq, Ack: f.Expected(c.dir^1) + c.ack, Flags: c.flags})
			if (got == TCPClosing) != c.want {
				t.Errorf("%s, replies %v: %v", name, replies, got)
			}
		}
	}
}

// A RST that nobody obeyed: both sides go on, and so does the flow, for as long as before.
func TestTakenBack(t *testing.T) {
	for _, replies := range []bool{true, false} {
		c := newTalk(t, replies)
		c.open(t)
		was := c.tab.Flow(c.ref).Class()
		forged := *c
		for round := range 2 {
			if got := forged.send(Request, rst, 0); got != TCPClosing {
				t.Fatalf("round %d: an exact RST: %v", round, got)
			}
			other := Reply
			if !replies {
				other = Request
			}
			for range 3 { // a stranger's talk is none
				c.forge(Request, packet.Segment{Seq: far, Next: far, Ack: far, Flags: ack})
				c.forge(other, packet.Segment{Seq: far, Next: far, Ack: far, Flags: ack})
			}
			if got := c.send(Request, ack, 10); got != TCPClosing {
				t.Errorf("round %d: one side talks: %v", round, got)
			}
			if got := c.send(other, ack, 10); got != was {
				t.Errorf("round %d: both sides talk: %v, want %v", round, got, was)
			}
			forged = *c
		}
		if live := c.tab.loads.Live(1); live != 1 {
			t.Errorf("%d live connections", live)
		}
	}
}

// Retransmissions after both FINs do not open the connection again, also if it was taken back
// from a RST before.
func TestAfterTheFINsNothingIsTakenBack(t *testing.T) {
	c := newTalk(t, true)
	c.open(t)
	nobody := *c
	nobody.send(Request, rst, 0)
	c.send(Request, ack, 10)
	if got := c.send(Reply, ack, 1000); got != TCPEstablished {
		t.Fatalf("both sides talk after a RST: %v", got)
	}
	again := *c
	c.send(Request, fin, 0)
	c.send(Reply, fin, 0)
	for range 3 {
		again.send(Reply, ack, 10)
		if got := c.send(Request, ack, 0); got != TCPClosing {
			t.Fatalf("class %v", got)
		}
	}
}

func TestProves(t *testing.T) {
	for _, replies := range []bool{true, false} {
		c := newTalk(t, replies)
		f := c.tab.Flow(c.ref)
		if f.Proves(Request, 0, 0) {
			t.Error("a flow of which nothing is known")
		}
		c.send(Request, syn, 0)
		if f.Proves(Request, c.next[Request], 0) {
			t.Error("a flow of which only a SYN is known")
		}
		c = newTalk(t, replies)
		c.open(t)
		f = c.tab.Flow(c.ref)
		for _, d := range []Direction{Request, Reply} {
			seq, ack := f.Expected(d), f.Expected(d^1)
			if seq != c.next[d] || ack != c.next[d^1] {
				t.Fatalf("expected are %d and %d, want %v", seq, ack, c.next)
			}
			for _, off := range []uint32{0, 1, ^uint32(0), 100_000} {
				if !f.Proves(d, seq+off, ack) || !f.Proves(d, seq, ack+off) {
					t.Errorf("%v: off by %d it proves nothing", d, int32(off))
				}
			}
			for _, off := range []uint32{far, 1 << 20, ^uint32(1 << 20), 1 << 31} {
				if f.Proves(d, seq+off, ack) || f.Proves(d, seq, ack+off) {
					t.Errorf("%v: off by %d it proves something", d, int32(off))
				}
			}
		}
		c.tab.Remove(c.ref)
		if f.Proves(Request, f.Expected(Request), f.Expected(Reply)) {
			t.Error("a flow that is gone")
		}
	}
	tab := newTable(16, 1)
	if r := mustInsert(t, tab, newFlow(1, packet.ProtoUDP), 0); tab.Flow(r).Proves(Request, 0, 0) {
		t.Error("a UDP flow")
	}
}

// TestNumbersFollow holds a flow against two obvious TCP ends that send in turns, through
// loss, reordering and acknowledgements that stand for many: what is expected of a side is
// what the other one acknowledged last.
func TestNumbersFollow(t *testing.T) {
	for _, replies := range []bool{true, false} {
		rng := rand.New(rand.NewPCG(7, 7))
		c := newTalk(t, replies)
		c.open(t)
		f := c.tab.Flow(c.ref)
		acked := c.next // what each side's data are acknowledged up to
		for step := range 20_000 {
			d := Direction(rng.IntN(2))
			n := uint32(rng.IntN(2) * rng.IntN(1<<rng.IntN(20)))
			if int32(c.next[d]+n-acked[d]) > 1<<20 {
				n = 0 // the window is full
			}
			acked[d^1] = c.next[d^1]
			s := packet.Segment{Seq: c.next[d], Next: c.next[d] + n, Ack: acked[d^1], Flags: ack}
			c.next[d] += n
			late := s
			if (replies || d == Request) && rng.IntN(4) != 0 { // else it went another way
				c.forge(d, s)
			}
			if rng.IntN(8) == 0 { // an old one arrives once more
				late.Seq, late.Next, late.Ack = late.Seq-5000, late.Next-5000, late.Ack-5000
				if replies || d == Request {
					c.forge(d, late)
				}
			}
			for _, d := range []Direction{Request, Reply} {
				if lag := c.next[d] - f.Expected(d); lag > 32<<20 {
					t.Fatalf("step %d, replies %v: side %d is at %d, expected is %d", step, replies, d, c.next[d], f.Expected(d))
				}
			}
		}
		for _, d := range []Direction{Request, Reply, Request} { // all arrives in the end
			if replies || d == Request {
				c.send(d, ack, 0)
			}
		}
		if f.Expected(Request) != c.next[Request] || f.Expected(Reply) != c.next[Reply] {
			t.Errorf("replies %v: expected are %d and %d, want %v", replies, f.Expected(Request), f.Expected(Reply), c.next)
		}
	}
}

// What comes late, or twice, moves no number back: a RST would have to be there.
func TestNumbersNeverGoBack(t *testing.T) {
	for _, replies := range []bool{true, false} {
		c := newTalk(t, replies)
		c.open(t)
		was := c.next
		c.next[Reply] += 1000
		c.send(Request, ack, 1000)
		c.send(Request, ack, 0)
		if replies {
			c.send(Reply, ack, 0)
		}
		for _, n := range []uint32{0, 10} {
			c.forge(Request, packet.Segment{Seq: was[Request], Next: was[Request] + n, Ack: was[Reply], Flags: ack})
			if replies {
				c.forge(Reply, packet.Segment{Seq: was[Reply], Next: was[Reply] + n, Ack: was[Request], Flags: ack})
			}
			f := c.tab.Flow(c.ref)
			if got := [numDirections]uint32{f.Expected(Request), f.Expected(Reply)}; got != c.next {
				t.Errorf("replies %v: an old segment of %d bytes brought %v to %v", replies, n, c.next, got)
			}
		}
	}
}

// On a long fat pipe, with far more than a window under way in both directions, the numbers
// stay what was acknowledged last: by the client, whose segments have come a long way, and
// by the backend, whose have not.
func TestNumbersFollowOnAFatPipe(t *testing.T) {
	for _, replies := range []bool{true, false} {
		const segment, underWay = 64 << 10, 64 << 20
		c := newTalk(t, replies)
		c.open(t)
		f, first := c.tab.Flow(c.ref), c.next
		for step := range uint32(20_000) {
			for _, d := range []Direction{Request, Reply} {
				late := uint32(0)
				if sent := c.next[d^1] - first[d^1]; d == Request {
					late = min(underWay, sent)
				}
				s := packet.Segment{Seq: c.next[d], Next: c.next[d] + segment, Ack: c.next[d^1] - late, Flags: ack}
				c.next[d] = s.Next
				if d == Reply && !replies {
					continue
				}
				c.forge(d, s)
				if got := f.Expected(d ^ 1); got != s.Ack {
					t.Fatalf("step %d, replies %v: %d is expected of side %d, it was acknowledged up to %d", step, replies, got, d^1, s.Ack)
				}
			}
		}
	}
}

// A gap, as while the balancer was away, is made up for where one side is where it is
// expected to be: in a transfer in one direction.
func TestNumbersFollowOverAGap(t *testing.T) {
	for _, replies := range []bool{true, false} {
		c := newTalk(t, replies)
		c.open(t)
		c.next[Reply] += wide - 1
		c.send(Request, ack, 0)
		if got := c.tab.Flow(c.ref).Expected(Reply); got != c.next[Reply] {
			t.Errorf("replies %v: expected is %d, want %d", replies, got, c.next[Reply])
		}
	}
}

// FuzzSegments: whatever comes, the numbers of a proven connection move only as a
// segment says that is near them, and forward.
func FuzzSegments(f *testing.F) {
	f.Add(true, uint8(0), uint8(rst), uint32(1), uint32(2))
	f.Add(false, uint8(1), uint8(fin), uint32(0), uint32(far))
	tab := newTable(16, 1)
	f.Fuzz(func(t *testing.T, replies bool, dir, flags uint8, seq, ackn uint32) {
		c := newTalkIn(t, tab, replies)
		defer tab.Remove(c.ref)
		c.open(t)
		flow, d := c.tab.Flow(c.ref), Direction(dir&1)
		if !replies {
			d = Request
		}
		before := [2]uint32{flow.Expected(Request), flow.Expected(Reply)}
		class := flow.Class()
		c.forge(d, packet.Segment{Seq: before[d] + seq, Next: before[d] + seq + 1, Ack: before[d^1] + ackn, Flags: flags})
		far := !within(seq, window) && !within(ackn, window) || !within(seq, wide) || !within(ackn, wide)
		moved := flow.Expected(Request) != before[Request] || flow.Expected(Reply) != before[Reply]
		ended := flow.Class() != class && seq != 0 // a RST may be exact whatever it acknowledges
		if far && (moved || ended) {
			t.Errorf("%v off by %d and %d, flags %#x: class %v, numbers from %v to %d %d",
				d, int32(seq), int32(ackn), flags, flow.Class(), before, flow.Expected(Request), flow.Expected(Reply))
		}
		for d, was := range before {
			if int32(flow.Expected(Direction(d))-was) < 0 {
				t.Errorf("the number of side %d went back by %d", d, was-flow.Expected(Direction(d)))
			}
		}
	})
}
