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
		proto  uint32
		paired bool
		steps  []step
	}{
		"nat: handshake and close": {packet.ProtoTCP, true, []step{
			{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, ack, TCPEstablished},
			{Reply, ack, TCPEstablished}, {Request, fin, TCPEstablished}, {Reply, ack, TCPEstablished},
			{Reply, fin, TCPClosing}, {Request, ack, TCPClosing},
		}},
		"nat: a half-close may last": {packet.ProtoTCP, true, []step{
			{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, ack, TCPEstablished},
			{Request, fin, TCPEstablished}, {Request, fin, TCPEstablished}, {Reply, ack, TCPEstablished},
		}},
		"nat: a flood of SYN and blind ACK without an answer": {packet.ProtoTCP, true, []step{
			{Request, syn, TCPSyn}, {Request, ack, TCPSyn}, {Request, ack, TCPSyn},
		}},
		"nat: refused": {packet.ProtoTCP, true, []step{{Request, syn, TCPSyn}, {Reply, rst, TCPClosing}}},
		"nat: mid-stream": {packet.ProtoTCP, true, []step{
			{Request, ack, TCPSyn}, {Reply, ack, TCPSyn}, {Request, ack, TCPEstablished},
		}},
		"nat: SYN again in the middle keeps the class": {packet.ProtoTCP, true, []step{
			{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, syn, TCPSyn}, {Request, ack, TCPEstablished}, {Request, syn, TCPEstablished},
		}},
		"nat: aborted": {packet.ProtoTCP, true, []step{
			{Request, syn, TCPSyn}, {Reply, synAck, TCPSyn}, {Request, ack, TCPEstablished}, {Request, rst | ack, TCPClosing},
		}},
		"dsr: the client's second packet, and its FIN": {packet.ProtoTCP, false, []step{
			{Request, syn, TCPSyn}, {Request, ack, TCPEstablished}, {Request, ack, TCPEstablished}, {Request, fin, TCPClosing}, {Request, ack, TCPClosing},
		}},
		"dsr: mid-stream": {packet.ProtoTCP, false, []step{{Request, ack, TCPSyn}, {Request, ack, TCPEstablished}}},
		"dsr: SYN twice is no proof": {packet.ProtoTCP, false, []step{
			{Request, syn, TCPSyn}, {Request, syn, TCPSyn},
		}},
		"udp nat: established by an answer": {packet.ProtoUDP, true, []step{
			{Request, 0, UDPNew}, {Request, 0, UDPNew}, {Reply, 0, UDPEstablished}, {Request, 0, UDPEstablished},
		}},
		"udp dsr: established by a second packet": {packet.ProtoUDP, false, []step{
			{Request, 0, UDPNew}, {Request, 0, UDPEstablished},
		}},
		"icmp stays": {packet.ProtoICMP, true, []step{{Request, 0, ICMP}, {Reply, 0, ICMP}}},
	} {
		t.Run(name, func(t *testing.T) {
			tab := newTable(16, 1)
			n := newFlow(1, c.proto)
			n.Paired = c.paired
			r := mustInsert(t, tab, n, 0)
			f := tab.Flow(r)
			for i, s := range c.steps {
				if class := f.Advance(s.dir, s.flags); class != f.Class() {
					tab.Reclassify(r, class, 0)
				}
				if f.Class() != s.want {
					t.Fatalf("step %d: class %v, want %v", i, f.Class(), s.want)
				}
			}
		})
	}
}

func TestReopens(t *testing.T) {
	for _, c := range []struct {
		class Class
		flags uint8
		want  bool
	}{
		{TCPClosing, syn, true}, {TCPClosing, ack, false}, {TCPClosing, synAck, false}, {TCPClosing, syn | rst, false},
		{TCPEstablished, syn, false}, {TCPSyn, syn, false},
	} {
		tab := newTable(16, 1)
		r := mustInsert(t, tab, newFlow(1, packet.ProtoTCP), 0)
		tab.Reclassify(r, c.class, 0)
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
	tab.Reclassify(r, TCPEstablished, 0)
	expect("established", 1, 1)
	tab.Reclassify(r, TCPClosing, 0)
	expect("closing", 0, 1)
	tab.Reclassify(r, TCPEstablished, 0)
	if got := tab.Flow(r).Class(); got != TCPClosing {
		t.Errorf("a closing flow became %v", got)
	}
	tab.Remove(r)
	expect("removed", 0, 0)
	tab.Remove(r)
	expect("removed twice", 0, 0)
}
