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
