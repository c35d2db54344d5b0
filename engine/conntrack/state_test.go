package conntrack

import (
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

const (
	syn    = packet.TCPSyn
	synAck = packet.TCPSyn | packet.TCPAck
	ack    = packet.TCPAck
	fin    = packet.TCPFin | packet.TCPAck
	rst    = packet.TCPRst
)

func TestLifeOfAFlow(t *testing.T) {
	type step struct {
		dir   Direction
		flags uint8
		want  Class
	}
	for name, c := range map[string]struct {
		paired bool
		steps  []step
	}{
		"nat: handshake and close": {true, []step{
			{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, ack, TCPEstablished},
			{Reply, ack, TCPEstablished}, {Request, fin, TCPEstablished}, {Reply, ack, TCPEstablished},
			{Reply, fin, TCPClosing}, {Request, ack, TCPClosing},
		}},
		"nat: a half-close may last": {true, []step{
			{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, ack, TCPEstablished},
			{Request, fin, TCPEstablished}, {Request, ack, TCPEstablished}, {Reply, ack, TCPEstablished},
		}},
		"nat: the server closes first": {true, []step{
			{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, ack, TCPEstablished},
			{Reply, fin, TCPEstablished}, {Request, ack, TCPEstablished}, {Request, fin, TCPClosing}, {Reply, ack, TCPClosing},
		}},
		"nat: SYN and blind ACK without an answer": {true, []step{
			{Request, syn, TCPSyn}, {Request, ack, TCPSyn}, {Request, ack, TCPSyn},
		}},
		"nat: refused":        {true, []step{{Request, syn, TCPSyn}, {Reply, rst | ack, TCPRefused}}},
		"nat: half-open scan": {true, []step{{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, rst, TCPClosing}}},
		"nat: accepted, then reset": {true, []step{
			{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, ack, TCPEstablished}, {Reply, rst | ack, TCPRefused},
		}},
		"nat: mid-stream": {true, []step{
			{Request, ack, TCPSyn}, {Reply, ack, TCPSyn}, {Request, ack, TCPEstablished},
		}},
		"nat: mid-stream, the last segments": {true, []step{
			{Request, fin, TCPSyn}, {Reply, fin, TCPClosing}, {Request, ack, TCPClosing},
		}},
		"nat: mid-stream, unknown to the backend": {true, []step{{Request, ack, TCPSyn}, {Reply, rst, TCPRefused}}},
		"nat: SYN again": {true, []step{
			{Request, syn, TCPSyn}, {Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, ack, TCPEstablished},
		}},
		"nat: aborted": {true, []step{
			{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, ack, TCPEstablished}, {Request, rst | ack, TCPClosing},
		}},
		"nat: a new handshake, with a backend that forgot": {true, []step{
			{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, ack, TCPEstablished}, {Request, fin, TCPEstablished},
			{Request, syn, TCPEstablished}, {Reply, synAck, TCPEstablished}, {Request, ack, TCPEstablished},
			{Reply, fin, TCPEstablished}, {Request, fin, TCPClosing},
		}},
		"dsr: the client's second packet, and its FIN": {false, []step{
			{Request, syn, TCPSyn}, {Request, ack, TCPOneSided}, {Request, ack, TCPOneSided}, {Request, fin, TCPFinWait}, {Request, ack, TCPFinWait},
		}},
		"dsr: mid-stream":             {false, []step{{Request, ack, TCPSyn}, {Request, ack, TCPOneSided}}},
		"dsr: mid-stream, one FIN":    {false, []step{{Request, fin, TCPSyn}, {Request, ack, TCPFinWait}}},
		"dsr: SYN twice is no proof":  {false, []step{{Request, syn, TCPSyn}, {Request, syn, TCPSyn}}},
		"dsr: aborted":                {false, []step{{Request, syn, TCPSyn}, {Request, ack, TCPOneSided}, {Request, rst | ack, TCPClosing}}},
		"dsr: aborted after its FIN":  {false, []step{{Request, syn, TCPSyn}, {Request, ack, TCPOneSided}, {Request, fin, TCPFinWait}, {Request, rst, TCPClosing}}},
		"dsr: the port is used again": {false, []step{{Request, syn, TCPSyn}, {Request, ack, TCPOneSided}, {Request, fin, TCPFinWait}, {Request, syn, TCPFinWait}, {Request, ack, TCPOneSided}}},
	} {
		t.Run(name, func(t *testing.T) {
			talk := newTalk(t, c.paired)
			for i, s := range c.steps {
				if s.flags&syn != 0 && (s.dir == Request || i > 2) {
					talk.next[s.dir] += 1 << 30 // a new connection has numbers of its own
				}
				if got := talk.send(s.dir, s.flags, uint32(s.flags&packet.TCPAck)); got != s.want {
					t.Fatalf("step %d: class %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

func TestLifeOfAFlowWithoutConnections(t *testing.T) {
	type step struct {
		dir  Direction
		want Class
	}
	for name, c := range map[string]struct {
		proto  uint32
		paired bool
		steps  []step
	}{
		"udp nat: established by an answer":       {packet.ProtoUDP, true, []step{{Request, UDPNew}, {Request, UDPNew}, {Reply, UDPEstablished}, {Request, UDPEstablished}}},
		"udp dsr: one-sided by the second packet": {packet.ProtoUDP, false, []step{{Request, UDPNew}, {Request, UDPOneSided}, {Request, UDPOneSided}}},
		"icmp stays": {packet.ProtoICMP, true, []step{{Request, ICMP}, {Reply, ICMP}}},
	} {
		t.Run(name, func(t *testing.T) {
			tab := newTable(16, 1)
			n := newFlow(1, c.proto)
			n.Paired = c.paired
			r := mustInsert(t, tab, n, 0)
			for i, s := range c.steps {
				tab.Advance(r|Ref(s.dir), tab.Flow(r), packet.Segment{}, 0)
				if got := tab.Flow(r).Class(); got != s.want {
					t.Fatalf("step %d: class %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

// A one-way UDP flow is settled after its first request, as long as nobody answers: each of
// its packets would else take the long way. One without replies in sight has to prove
// itself first.
func TestSettled(t *testing.T) {
	for _, paired := range []bool{true, false} {
		tab := newTable(16, 1)
		n := newFlow(1, packet.ProtoUDP)
		n.Paired = paired
		r := mustInsert(t, tab, n, 0)
		f := tab.Flow(r)
		if f.Settled(Request, 0) {
			t.Errorf("replies %v: settled before the first request", paired)
		}
		tab.Advance(r, f, packet.Segment{}, 0)
		if f.Settled(Request, 0) != paired || f.Settled(Reply, 0) {
			t.Errorf("replies %v: settled for requests %v, for replies %v", paired, f.Settled(Request, 0), f.Settled(Reply, 0))
		}
		tab.Advance(r|Ref(n.direction()), f, packet.Segment{}, 0)
		if !f.Settled(Request, 0) || !f.Settled(Reply, 0) {
			t.Errorf("replies %v: a %v flow is not settled", paired, f.Class())
		}
		tab.Remove(r)
		if f.Settled(Request, 0) {
			t.Error("a flow that is gone is settled")
		}
	}
	for class := range numClasses {
		c := newTalk(t, true)
		c.open(t)
		c.tab.move(c.ref, class, 0)
		f := c.tab.Flow(c.ref)
		want := class >= TCPEstablished && class <= UDPOneSided
		for flags := range uint8(0x20) {
			changes := flags&(packet.TCPFin|packet.TCPSyn|packet.TCPRst) != 0
			if got := f.Settled(Reply, flags); got != (want && !changes) {
				t.Errorf("%v, flags %#x: settled %v", class, flags, got)
			}
		}
	}
}

// direction is the side whose packet comes next: there may be one only.
func (n *NewFlow) direction() Direction {
	if n.Paired {
		return Reply
	}
	return Request
}

// A flow with unfinished checksums is never settled, so that each packet can be completed;
// its classes follow one another all the same.
func TestUnfinished(t *testing.T) {
	c := newTalk(t, true)
	f := c.tab.Flow(c.ref)
	f.MarkUnfinished()
	c.open(t)
	if f.Settled(Request, ack) {
		t.Error("settled, though its checksums are to be finished")
	}
	c.send(Request, fin, 0)
	if got := c.send(Reply, fin, 0); got != TCPClosing {
		t.Errorf("closed, the class is %v", got)
	}
}

// Only a RST within a second of the start means that the backend refuses.
func TestRefusedIsSoon(t *testing.T) {
	for age, want := range map[uint32]Class{0: TCPRefused, refusedWithin: TCPRefused, refusedWithin + 1: TCPClosing} {
		c := newTalk(t, true)
		c.open(t)
		c.now = age
		if got := c.send(Reply, rst, 0); got != want {
			t.Errorf("reset after %d ms: %v, want %v", age, got, want)
		}
	}
}

func TestReopens(t *testing.T) {
	for _, c := range []struct {
		class Class
		flags uint8
		want  bool
	}{
		{TCPClosing, syn, true}, {TCPClosing, ack, false}, {TCPClosing, synAck, false}, {TCPClosing, syn | rst, false},
		{TCPRefused, syn, true}, {TCPFinWait, syn, false}, {TCPEstablished, syn, false}, {TCPSyn, syn, false},
	} {
		tab := newTable(16, 1)
		r := mustInsert(t, tab, newFlow(1, packet.ProtoTCP), 0)
		tab.move(r, c.class, 0)
		if got := tab.Flow(r).Reopens(c.flags); got != c.want {
			t.Errorf("%v, flags %#x: %v, want %v", c.class, c.flags, got, c.want)
		}
	}
}

func TestLiveConnectionsFollowTheClass(t *testing.T) {
	tab := newTable(16, 1)
	n := newFlow(1, packet.ProtoTCP)
	expect := func(when string, live, flows int64) {
		t.Helper()
		if l, f := tab.loads.Live(n.BackendID), tab.loads.Flows(n.BackendID); l != live || f != flows {
			t.Errorf("%s: live %d flows %d, want %d and %d", when, l, f, live, flows)
		}
	}
	r := mustInsert(t, tab, n, 0)
	expect("inserted", 1, 1)
	for _, s := range []struct {
		class Class
		live  int64
	}{{TCPEstablished, 1}, {TCPClosing, 0}, {TCPEstablished, 1}, {TCPClosing, 0}, {TCPRefused, 1}, {TCPOneSided, 1}, {TCPFinWait, 1}} {
		tab.move(r, s.class, 0)
		expect(s.class.String(), s.live, 1)
	}
	tab.Remove(r)
	expect("removed", 0, 0)
	tab.Remove(r)
	expect("removed twice", 0, 0)
	if tab.reclassify(r, TCPFinWait, TCPClosing, 0); tab.Flow(r).Live() {
		t.Error("a removed flow was moved on")
	}
	expect("moved on when it was gone", 0, 0)
}
