package conntrack

import (
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

func newTable(maxFlows, workers int) *Table {
	return New(Config{MaxFlows: maxFlows, Workers: workers, Timeouts: DefaultTimeouts(), Loads: balancer.NewLoads()})
}

// newFlow returns client number n's flow to the one service of these tests.
// Its backend follows from n, so that a mixed-up record shows.
func newFlow(n int, proto uint32) *NewFlow {
	client := netip.AddrFrom4([4]byte{198, 18, byte(n >> 8), byte(n)})
	if n&1 == 1 {
		client = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(n >> 8), 15: byte(n)})
	}
	vip := netip.MustParseAddr("192.0.2.10")
	backend := netip.AddrFrom4([4]byte{10, 0, 0, byte(n % 7)})
	return &NewFlow{
		Key:         &packet.Key{Src: packet.AddrFrom(client), Dst: packet.AddrFrom(vip), SrcPort: uint16(n>>16) + 1000, DstPort: 80, Proto: proto},
		Backend:     packet.AddrFrom(backend),
		BackendPort: 8080,
		BackendID:   uint32(n % 7),
		Paired:      true,
	}
}

// sharing is like newFlow, but there are only so many clients' ends, each with flows to
// several services.
func sharing(n, clients int, proto uint32) *NewFlow {
	f := newFlow(n%clients, proto)
	f.Key.DstPort += uint16(n / clients)
	f.BackendPort += uint16(n / clients)
	return f
}

func mustInsert(t *testing.T, tab *Table, n *NewFlow, now uint32) Ref {
	t.Helper()
	r, out := tab.Insert(n, now)
	if out != Inserted {
		t.Fatalf("insert: outcome %d", out)
	}
	return r
}

func find(tab *Table, k packet.Key) (Ref, bool) {
	r, ok := tab.Find(&k, Request)
	if !ok {
		r, ok = tab.Find(&k, Reply)
	}
	return r, ok
}

func TestBothKeysLeadToOneRecord(t *testing.T) {
	tab := newTable(100, 1)
	for n := range 4 {
		flow := newFlow(n, packet.ProtoTCP)
		r := mustInsert(t, tab, flow, 5)
		req, ok := find(tab, *flow.Key)
		if !ok || req != r || req.Direction() != Request {
			t.Fatalf("request key: %v, %v, want %v", req, ok, r)
		}
		rep, ok := find(tab, flow.replyKey())
		if !ok || rep.index() != r.index() || rep.Direction() != Reply {
			t.Fatalf("reply key: %v, %v", rep, ok)
		}
		if got := tab.key(ref(r.index(), Reply)); got != flow.replyKey() {
			t.Errorf("the reply's key is %+v", got)
		}
		tab.Remove(r)
		if _, ok := find(tab, *flow.Key); ok {
			t.Error("request key is found after Remove")
		}
		if _, ok := find(tab, flow.replyKey()); ok {
			t.Error("reply key is found after Remove")
		}
	}
}

func TestUnpairedFlowHasNoreplyKey(t *testing.T) {
	tab := newTable(100, 1)
	flow := newFlow(1, packet.ProtoTCP)
	flow.Paired = false
	r := mustInsert(t, tab, flow, 0)
	if _, ok := find(tab, flow.replyKey()); ok {
		t.Error("a dsr flow answers to its reply key")
	}
	tab.Remove(r)
}

// A worker may remember a record's reply direction from when it was another flow's: a flow
// without replies has no such packets.
func TestUnpairedFlowMatchesNoReply(t *testing.T) {
	tab := newTable(100, 1)
	for n := range 4 { // both families
		f := newFlow(n, packet.ProtoTCP)
		f.Paired = n < 2
		r, k := mustInsert(t, tab, f, 0), f.replyKey()
		if got := tab.Matches(r^1, tab.Flow(r), &k); got != f.Paired {
			t.Errorf("flow %d, replies %v: its reply's key matches: %v", n, f.Paired, got)
		}
		if !tab.Matches(r, tab.Flow(r), f.Key) {
			t.Errorf("flow %d: its own key does not match", n)
		}
	}
}

func TestInsertTwice(t *testing.T) {
	tab := newTable(100, 1)
	flow := newFlow(1, packet.ProtoTCP)
	r := mustInsert(t, tab, flow, 0)
	if again, out := tab.Insert(flow, 0); out != Exists || again != r {
		t.Errorf("second insert: %v %d, want the first's %v and Exists", again, out, r)
	}
}

// Two services share a backend, and one client uses one port for both: the
// backend's replies to them can't be told apart.
func TestReplyClash(t *testing.T) {
	tab := newTable(100, 1)
	a := newFlow(1, packet.ProtoTCP)
	b := newFlow(1, packet.ProtoTCP)
	b.Key.DstPort = 81
	ra := mustInsert(t, tab, a, 0)
	if _, out := tab.Insert(b, 0); out != Clash {
		t.Fatalf("outcome %d, want Clash", out)
	}
	if _, ok := find(tab, *b.Key); ok {
		t.Error("the refused flow is half there")
	}
	if r, ok := find(tab, a.replyKey()); !ok || r.index() != ra.index() {
		t.Error("the first flow lost its reply key")
	}
	tab.move(ra, TCPClosing, 0)
	rb := mustInsert(t, tab, b, 0)
	if r, ok := find(tab, b.replyKey()); !ok || r.index() != rb.index() {
		t.Error("a closing flow did not make way")
	}
	if _, ok := find(tab, *a.Key); ok {
		t.Error("the flow that made way is still there")
	}
	if got := tab.Stats(); got.Clashes != 1 || got.Total() != 1 {
		t.Errorf("clashes %d, flows %d, want 1 and 1", got.Clashes, got.Total())
	}
}

func TestRecordIsNotReusedBeforeTheGracePeriod(t *testing.T) {
	tab := newTable(1, 2) // one shard
	tab.Grace.Quiescent(0)
	tab.Grace.Quiescent(1)
	used := map[uint32]bool{}
	n := 0
	cycle := func() uint32 { // a flow comes and goes
		n++
		r := mustInsert(t, tab, newFlow(n, packet.ProtoTCP), 0)
		tab.Remove(r)
		return r.index()
	}
	for range 100 {
		if i := cycle(); used[i] {
			t.Fatalf("record %d is used again while both workers may hold it", i)
		} else {
			used[i] = true
		}
	}
	// Exhaust the fresh ones, so that only limbo is left.
	for {
		flow := newFlow(n+1, packet.ProtoTCP)
		r, out := tab.Insert(flow, 0)
		if out == Full {
			break
		}
		n++
		tab.Remove(r)
	}
	tab.Grace.Quiescent(0)
	flow := newFlow(n+1, packet.ProtoTCP)
	if _, out := tab.Insert(flow, 0); out != Full {
		t.Fatalf("outcome %d while worker 1 is in its old batch, want Full", out)
	}
	tab.Grace.Offline(1)
	mustInsert(t, tab, flow, 0)
	if tab.Stats().Full == 0 {
		t.Error("the refused inserts were not counted")
	}
}

func TestSynFloodSparesEstablishedFlows(t *testing.T) {
	const limit = 64
	tab := newTable(limit, 1)
	var real []*NewFlow
	for n := range limit {
		flow := newFlow(n, packet.ProtoTCP)
		r := mustInsert(t, tab, flow, 0)
		tab.move(r, TCPEstablished, 0)
		real = append(real, flow)
	}
	for n := range 10_000 {
		mustInsert(t, tab, newFlow(1000+n, packet.ProtoTCP), uint32(n))
	}
	for i, flow := range real {
		if _, ok := find(tab, *flow.Key); !ok {
			t.Errorf("established flow %d was evicted by the flood", i)
		}
	}
	s := tab.Stats()
	if s.Flows[TCPSyn] > s.MaxEmbryonic || s.EvictedEmbryonic == 0 || s.EvictedEstablished != 0 {
		t.Errorf("%d embryonic of %d, evicted %d embryonic and %d established", s.Flows[TCPSyn], s.MaxEmbryonic, s.EvictedEmbryonic, s.EvictedEstablished)
	}
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	tab := newTable(4, 1)
	var flows []*NewFlow
	var refs []Ref
	for n := range 4 {
		flows = append(flows, newFlow(n, packet.ProtoTCP))
		refs = append(refs, mustInsert(t, tab, flows[n], 0))
		tab.move(refs[n], TCPEstablished, 0)
	}
	for i, n := range []int{0, 2, 1, 3} { // 0 is the oldest by use, then 2
		tab.touch(refs[n], 60, uint32(1000*(i+1)))
	}
	for i, gone := range []int{0, 2, 1} {
		late := newFlow(10+i, packet.ProtoTCP)
		r := mustInsert(t, tab, late, uint32(10_000+1000*i))
		tab.move(r, TCPEstablished, uint32(10_000+1000*i))
		if _, ok := find(tab, *flows[gone].Key); ok {
			t.Errorf("eviction %d: flow %d is still there", i, gone)
		}
		if got := tab.Stats().Flows[TCPEstablished]; got != 4 {
			t.Errorf("eviction %d: %d established flows, want 4", i, got)
		}
	}
	if _, ok := find(tab, *flows[3].Key); !ok {
		t.Error("the most recently used flow was evicted")
	}
}

func TestClosingFlowsGoBeforeEstablishedOnes(t *testing.T) {
	tab := newTable(2, 1)
	closing, other := newFlow(1, packet.ProtoTCP), newFlow(2, packet.ProtoTCP)
	rc, ro := mustInsert(t, tab, closing, 0), mustInsert(t, tab, other, 0)
	tab.move(ro, TCPEstablished, 0)
	tab.move(rc, TCPClosing, 500) // used later than other
	tab.touch(rc, 60, 500)
	r := mustInsert(t, tab, newFlow(3, packet.ProtoTCP), 1000)
	tab.move(r, TCPEstablished, 1000)
	if _, ok := find(tab, *closing.Key); ok {
		t.Error("the closing flow stayed")
	}
	if _, ok := find(tab, *other.Key); !ok {
		t.Error("the established flow went")
	}
}

// touch counts a packet as a worker does.
func (t *Table) touch(r Ref, n int, now uint32) {
	if t.Flow(r).Touch(r.Direction(), n, now) {
		t.Carry(r)
	}
}
