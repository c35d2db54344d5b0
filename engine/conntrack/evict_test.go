package conntrack

import (
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// Whoever fills a budget first must not keep the others out: a handshake needs its
// flow until the answer comes, however many one-way datagrams there are.
func TestAFloodOfOneKindLeavesRoomForTheOther(t *testing.T) {
	const limit = 400 // 100 of them embryonic
	tab := newTable(limit, 1)
	n := 0
	flood := func(times int) {
		for range times {
			n++
			mustInsert(t, tab, newFlow(n, packet.ProtoUDP), uint32(n))
		}
	}
	flood(1000)
	var handshakes []*NewFlow
	for range 20 {
		n++
		handshakes = append(handshakes, newFlow(n, packet.ProtoTCP))
		mustInsert(t, tab, handshakes[len(handshakes)-1], uint32(n))
		flood(10)
	}
	for i, h := range handshakes {
		if _, ok := find(tab, *h.Key); !ok {
			t.Errorf("handshake %d was pushed out by datagrams", i)
		}
	}
	if s := tab.Stats(); s.Flows[TCPSyn]+s.Flows[UDPNew] != s.MaxEmbryonic {
		t.Errorf("flows %v, want %d embryonic ones", s.Flows, s.MaxEmbryonic)
	}
}

// A SYN and its RST cost an attacker two packets: they must not push out anybody.
func TestConnectionsThatNeverWereSpareEstablishedFlows(t *testing.T) {
	const limit = 64
	tab := newTable(limit, 1)
	var real []*NewFlow
	for n := range limit {
		real = append(real, newFlow(n, packet.ProtoTCP))
		tab.move(mustInsert(t, tab, real[n], 0), TCPEstablished, 0)
	}
	for n := range 1000 {
		r := mustInsert(t, tab, newFlow(1000+n, packet.ProtoTCP), uint32(n))
		tab.Advance(r, tab.Flow(r), packet.Segment{Next: 1, Flags: syn}, uint32(n))
		tab.Advance(r, tab.Flow(r), packet.Segment{Seq: 1, Flags: rst}, uint32(n))
	}
	for i, flow := range real {
		if _, ok := find(tab, *flow.Key); !ok {
			t.Errorf("established flow %d was pushed out", i)
		}
	}
	if s := tab.Stats(); s.Flows[TCPClosing] != 1 {
		t.Errorf("%d closing flows above a full budget, want 1", s.Flows[TCPClosing])
	}
}

// Two workers see one flow at a time: what one concluded must not be undone by the
// other, who looked a moment before.
func TestTheLaterStageStands(t *testing.T) {
	for _, c := range []struct {
		first, saw, concluded, want Class
	}{
		{TCPEstablished, TCPSyn, TCPClosing, TCPClosing},
		{TCPClosing, TCPSyn, TCPEstablished, TCPClosing},
		{TCPClosing, TCPEstablished, TCPEstablished, TCPClosing},
		{TCPEstablished, TCPClosing, TCPClosing, TCPClosing},
		{TCPClosing, TCPClosing, TCPEstablished, TCPEstablished}, // taken back: nobody came between
	} {
		tab := newTable(10, 2)
		r := mustInsert(t, tab, newFlow(1, packet.ProtoTCP), 0)
		tab.move(r, c.first, 0)
		tab.reclassify(r, c.saw, c.concluded, 0)
		if got := tab.Flow(r).Class(); got != c.want {
			t.Errorf("%v, and by somebody who saw %v: %v is now %v, want %v", c.first, c.saw, c.concluded, got, c.want)
		}
	}
}

// filler makes flows of given classes, each younger than those before, and counts what is
// left of them.
type filler struct {
	tab  *Table
	next int
	of   [numClasses][]*NewFlow
}

func (f *filler) add(t *testing.T, c Class, n int) {
	t.Helper()
	for range n {
		f.next++
		flow := newFlow(f.next, packet.ProtoTCP)
		f.tab.move(mustInsert(t, f.tab, flow, uint32(f.next)), c, uint32(f.next))
		f.of[c] = append(f.of[c], flow)
	}
}

func (f *filler) left(c Class) (n int) {
	for _, flow := range f.of[c] {
		if _, ok := find(f.tab, *flow.Key); ok {
			n++
		}
	}
	return n
}

// Two packets with a false source make a one-sided flow. A flood of them leaves seven
// eighths of the table to those whose both sides were seen, and to one another what is
// theirs.
func TestAFloodOfOneSidedFlowsSparesProvenOnes(t *testing.T) {
	const limit = 400
	for _, proven := range []Class{TCPEstablished, UDPEstablished} {
		for _, flood := range []Class{TCPOneSided, UDPOneSided, TCPFinWait} {
			f := filler{tab: newTable(limit, 1)}
			f.add(t, proven, limit)
			f.add(t, flood, 10*limit)
			if got := f.left(proven); got != limit-limit/8 {
				t.Errorf("%v: %d of %d %v flows are left, want %d", flood, got, limit, proven, limit-limit/8)
			}
			if got := f.left(flood); got != limit/8 {
				t.Errorf("%d %v flows beside %v ones, want %d", got, flood, proven, limit/8)
			}
		}
	}
}

// One-sided flows may have all the room that nobody else needs, and yield first, down to
// their eighth.
func TestOneSidedFlowsYield(t *testing.T) {
	const limit = 400
	f := filler{tab: newTable(limit, 1)}
	f.add(t, TCPOneSided, limit/2)
	f.add(t, UDPOneSided, limit/2)
	f.add(t, TCPEstablished, 100)
	if got := f.left(TCPEstablished); got != 100 {
		t.Errorf("%d of 100 established flows found room", got)
	}
	f.add(t, UDPOneSided, 10*limit) // pushes out its own kind
	if got := f.left(TCPEstablished); got != 100 {
		t.Errorf("%d of 100 established flows are left after a flood", got)
	}
	if got := f.left(TCPOneSided); got < limit/8 {
		t.Errorf("%d one-sided TCP flows are left after a flood of UDP", got)
	}
	f.add(t, TCPEstablished, 10*limit)
	if got := f.left(TCPOneSided) + f.left(UDPOneSided); got != limit/8 {
		t.Errorf("%d one-sided flows are left, want their eighth, %d", got, limit/8)
	}
	if s := f.tab.Stats(); s.Total() != limit {
		t.Errorf("%d flows in a table of %d", s.Total(), limit)
	}
}

// Connections that are over go before all others, of both kinds.
func TestWhatIsOverGoesFirst(t *testing.T) {
	const limit = 80
	for _, c := range []Class{TCPEstablished, TCPOneSided, UDPEstablished, TCPClosing, TCPRefused} {
		f := filler{tab: newTable(limit, 1)}
		f.add(t, TCPEstablished, limit/4)
		f.add(t, TCPOneSided, limit/4)
		f.add(t, TCPClosing, limit/4)
		f.add(t, TCPRefused, limit/4)
		was := len(f.of[c])
		f.add(t, c, limit/4)
		if f.left(TCPEstablished) < limit/4 || f.left(TCPOneSided) < limit/4 {
			t.Errorf("%v: %d established and %d one-sided flows are left of %d each", c, f.left(TCPEstablished), f.left(TCPOneSided), limit/4)
		}
		if got := f.left(c); got < was {
			t.Errorf("%v: %d are left", c, got)
		}
		if s := f.tab.Stats(); s.Total() != limit {
			t.Errorf("%v: %d flows in a table of %d", c, s.Total(), limit)
		}
	}
}

// Each kind of them does, also where there is no other.
func TestOneKindOfWhatIsOverIsEnough(t *testing.T) {
	const limit = 80
	for _, over := range []Class{TCPClosing, TCPRefused} {
		f := filler{tab: newTable(limit, 1)}
		f.add(t, TCPEstablished, limit/2)
		f.add(t, over, limit/2)
		f.add(t, TCPEstablished, limit/2)
		if got := f.left(TCPEstablished); got != limit {
			t.Errorf("%d of %d established flows are left beside %v ones", got, limit, over)
		}
	}
}

// What is over pushes out nobody else, and so may be one more than a full table has: but
// one, however often established flows take its place.
func TestWhatIsOverDoesNotAddUp(t *testing.T) {
	const limit = 64
	for _, over := range []Class{TCPClosing, TCPRefused} {
		for _, c := range []Class{TCPEstablished, TCPOneSided, UDPEstablished} {
			f := filler{tab: newTable(limit, 1)}
			f.add(t, c, limit)
			for n := range 3 * limit {
				f.add(t, over, 1)
				if s := f.tab.Stats(); s.Total() > limit+1 {
					t.Fatalf("%v among %v: %d flows in a table of %d after %d times", over, c, s.Total(), limit, n)
				}
				f.add(t, c, 1)
				if s := f.tab.Stats(); s.Total() != limit {
					t.Fatalf("%v after %v: %d flows in a table of %d after %d times", c, over, s.Total(), limit, n)
				}
			}
		}
	}
}
