package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/engine/fragment"
	"github.com/afxlb/afxlb/engine/snat"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/punt"
	"github.com/afxlb/afxlb/xsk"
)

// batchSize is how many packets go through the stages together. The memory
// misses of a batch overlap, so a larger one hides more of them, until its own
// working set leaves the first-level cache.
const batchSize = 128

// group is how many packets are in a stage at a time: so many that their memory misses
// are under way at the same time while another group is worked on. With more, the
// processor runs out of miss buffers (some 20 on today's) and waits for the first.
const group = 8

// worker serves one RX queue of each port on one OS thread. The life of a batch:
//
//  1. receive   descriptors from the RX ring; the frames are ours until sent or released
//  2. parse     headers → key, offsets, TCP flags; malformed ones get their drop reason
//  3. find      key → flow record, by the worker's own exact-match cache
//  4. handle    flow state, then the rewrite; unknown flows take the slow path (slow.go)
//  5. send      TX ring, one kick a batch; dropped frames go back to the free list
//
// Nothing here allocates, locks, logs or reads a clock per packet: there is one
// clock reading and one look at the balancing table per batch.
type worker struct {
	// Immutable once the worker runs.

	id      int // index among the workers, and reader of the grace period
	queue   int
	cpu     int // -1: not pinned
	busy    bool
	sleep   time.Duration // at most
	tables  *atomic.Pointer[balancer.Table]
	flows   *conntrack.Table
	clients *clients
	clock   Clock
	young   *atomic.Bool // the engine's
	several bool         // interfaces are served, or may be

	fragments *fragment.Table

	// The worker's own.

	arms    *arms
	socket  *xsk.Socket  // of the port that this batch came by; nil: none receives
	device  *punt.Device // that port's
	turn    int          // of those ports that receive
	owed    uint8        // ports by which packets have left, a bit each, since frames were taken back
	cache   *conntrack.Cache
	picker  *balancer.Picker
	budgets [numKinds]budget
	sources []*snat.Group   // by backend ID, of this table; nil: not needed yet
	table   *balancer.Table // of this batch
	port    uint8           // that this batch came by
	in      uint64          // its hop word, without a MAC address
	source  uint64          // its own MAC address
	seen    seen
	ident   uint16 // of the last IPv4 packet that was an IPv6 one
	ipv6    bool   // some packet of the group that find was at last
	mixed   bool   // not all packets of this batch are of known flows, and forwarded
	now     uint32 // of this batch, ms
	looked  uint32 // when look did
	count   Counters
	youth   youth
	parts   fragment.Out // what the table of fragments has let go of
	taps    []*lane      // of the captures that are under way
	witness *witness     // of a shadow, what it finds; nil: this is none

	descs    [batchSize]xsk.Desc // as received; in the end those to send, in the same order
	frames   [batchSize][]byte
	packets  [batchSize]packet.Packet
	hashes   [batchSize]uint64
	refs     [batchSize]conntrack.Ref // of those forwarded their flows', of others a hint
	verdicts [batchSize]packet.Verdict
	drop     [batchSize]xsk.Desc
	across   across

	// Between it and who gives it sockets.

	duty    sync.Mutex
	running bool
	orders  atomic.Pointer[func()]

	// Read by others.

	generation atomic.Uint64 // of table
	beats      atomic.Uint64 // see Beats
	published  published
}

// pass takes one batch through all stages and returns its size.
func (w *worker) pass() (int, error) {
	n := w.receive()
	if n == 0 {
		return 0, nil
	}
	w.now = w.clock.Now()
	w.count.Received += uint64(n)
	w.mixed = false
	w.renew()
	if len(w.taps) != 0 {
		w.tapped(n)
	}
	if w.table.Ports[w.port].Standby {
		return n, w.turnAway(n)
	}
	for i := 0; i < n+2*group; i += group {
		w.parse(span(i, n))
		w.find(span(i-group, n))
		w.handle(span(i-2*group, n))
		if w.ipv6 { // not earlier: a prefetch that finds no free miss buffer may be dropped
			from, to := span(i-group, n)
			w.flows.PrefetchAddresses(w.refs[from:to])
		}
	}
	err := w.send(n)
	w.flows.Grace.Quiescent(w.id)
	return n, err
}

// receive takes a batch off the RX ring, and gives the kernel frames for the next ones.
// An empty ring is all that it looks at: each look at the other rings takes a cache line
// from a CPU that is sending or receiving.
func (w *worker) receive() int {
	for range w.arms.receives {
		if len(w.arms.receives) > 1 {
			w.next()
		}
		again := 0
		if w.parts.Ready.Len() != 0 {
			again = w.recall()
		}
		n := w.socket.Receive(w.descs[again:])
		if n != 0 {
			if w.owed != 0 {
				w.collect()
			}
			w.socket.Recycle()
			w.count.Ports[w.port].Received += uint64(n)
		}
		if n += again; n != 0 {
			return n
		}
	}
	return 0
}

// renew takes the newest table, if there is a newer one. It is no part of whoever calls it,
// so that backend can be one: that is a call less a packet.
//
//go:noinline
func (w *worker) renew() {
	if t := w.tables.Load(); t != w.table {
		w.adopt(t)
	}
}

// adopt makes t the worker's table. A backend that got the ID of one that is gone
// starts to count from zero; one that got another name goes on.
func (w *worker) adopt(t *balancer.Table) {
	w.count.grow(len(t.Backends))
	if w.table != nil && !shared(w.table.Keys, t.Keys) {
		for id := range w.table.Keys {
			if w.table.Keys[id] != t.Keys[id] {
				w.count.Backends[id] = BackendCounters{}
			}
		}
	}
	clear(w.sources)
	w.table, w.source = t, t.Ports[w.port].MAC.Word()
	w.generation.Store(t.Generation)
}

// shared reports whether two tables have one list of keys, as they have while no ID
// changes hands: then a worker need not compare thousands amid a batch.
func shared(a, b []balancer.BackendKey) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// span returns the group that begins at i, cut to a batch of n.
func span(i, n int) (from, to int) { return min(max(i, 0), n), min(max(i+group, 0), n) }

// parse reads the frames' headers, and has the cache's sets of all keys loaded.
func (w *worker) parse(from, to int) {
	umem := w.socket.UMEM()
	for i := from; i < to; i++ {
		frame := umem.Frame(w.descs[i])
		w.frames[i] = frame
		w.count.ReceivedBytes += uint64(len(frame))
		w.verdicts[i] = packet.Parse(frame, &w.packets[i])
		w.hashes[i] = w.flows.Hash(&w.packets[i].Key) // also where there is none: that does no harm
	}
	w.cache.Prefetch(w.hashes[from:to])
}

// find asks the cache for every packet's flow, and has the records loaded.
func (w *worker) find(from, to int) {
	w.ipv6 = false
	for i := from; i < to; i++ {
		w.refs[i] = w.cache.Get(w.hashes[i])
		w.ipv6 = w.ipv6 || w.packets[i].IPv6
	}
	w.flows.Prefetch(w.refs[from:to])
}

// handle decides each packet's verdict, in order of arrival.
func (w *worker) handle(from, to int) {
	prepared := from // for the slow path, up to here
	for i := from; i < to; i++ {
		if v := w.verdicts[i]; v != packet.Pending {
			w.mixed = true
			switch v {
			case packet.DropFragment:
				w.verdicts[i] = w.fragment(i)
			case packet.DropICMP:
				w.verdicts[i] = w.icmp(i)
			}
			continue
		}
		r := w.refs[i]
		if f := w.flows.Flow(r); f.Live() && (!f.Masked() && w.flows.Matches(r, f, &w.packets[i].Key) || f.Masked() && w.masked(&w.packets[i].Key, r, f)) {
			if w.verdicts[i] = w.forward(i, r, f); w.verdicts[i] != packet.Forwarded {
				w.mixed = true
			}
			continue
		}
		if i >= prepared {
			prepared = min(i+group, to)
			w.warm(i, prepared)
		}
		w.verdicts[i] = w.slow(i)
		w.mixed = true
	}
}

// forward sends packet i of a known flow on its way, if the flow may keep its
// backend: nobody loses it because of what is not known.
func (w *worker) forward(i int, r conntrack.Ref, f *conntrack.Flow) packet.Verdict {
	b := w.backend(f.BackendID)
	if (b.Flags&(balancer.Usable|balancer.Drained) != balancer.Usable || w.packets[i].Opens()) && r.Direction() == conntrack.Request {
		return w.reconsider(i, r, f)
	}
	return w.deliver(i, r, f, b)
}

// backend returns the backend with the ID. Another worker may be a generation ahead
// of this batch, and have made a flow to a backend that is new.
func (w *worker) backend(id uint32) *balancer.Backend {
	if int(id) >= len(w.table.Backends) {
		w.renew()
	}
	return &w.table.Backends[id]
}

// deliver rewrites packet i and, if it is to leave, takes it into account: in its flow's
// state and counters and in its backend's. The first of a batch is looked at as if its flow
// were new: should flows change in what only the slow path sees, it will be seen.
func (w *worker) deliver(i int, r conntrack.Ref, f *conntrack.Flow, b *balancer.Backend) packet.Verdict {
	settled := i > 0 && f.Settled(r.Direction(), w.packets[i].TCPFlags)
	if !settled {
		if v := w.examine(i, r, f); v != packet.Pending {
			return v
		}
	}
	var v packet.Verdict
	switch {
	case f.Routed():
		v = w.nat(i, r, f, b)
	case f.Masked():
		v = w.fullnat(i, r, f, b)
	case settled && w.stays(i, b.Next): // direct, without a call
		v = packet.Relay(w.frames[i], &w.packets[i], balancer.HopMAC(b.Next), b.Source)
	case settled && b.Tunnel != 0:
		v = w.enclose(i, b)
	default:
		if !settled {
			w.locate(i, f)
		}
		v = w.direct(i, b)
	}
	if v != packet.Forwarded {
		return w.undelivered(i, v)
	}
	p, frame, d := &w.packets[i], w.frames[i], r.Direction()&1 // not before the calls, or they would be kept in memory
	switch {
	case !settled:
		w.flows.Advance(r, f, p.Segment(frame), w.now)
	case p.TCPFlags&packet.TCPAck != 0:
		if s := p.Segment(frame); !f.Follow(d, s) {
			f.FollowFar(d, s)
		}
	}
	if f.Touch(d, len(frame), w.now) {
		w.flows.Carry(r)
	}
	c := &w.count.Backends[f.BackendID]
	c.Packets[d]++
	c.Bytes[d] += uint64(len(frame))
	return v
}

// send ends a batch of n packets, whose verdicts are known.
func (w *worker) send(n int) error {
	if len(w.taps) != 0 {
		return w.sendTapped(n)
	}
	return w.emit(n)
}

// emit puts forwarded packets and answers on the TX ring and gives the frames of
// all others back. What does not fit after one kick is dropped: waiting would
// only move the loss to the RX ring, where it has no reason.
func (w *worker) emit(n int) error {
	if w.across.some {
		return w.sendAcross(n)
	}
	out, drop := n, 0
	if w.mixed {
		out, drop = w.sort(n)
	} else {
		w.count.Verdicts[packet.Forwarded] += uint64(n)
	}
	w.socket.Release(w.drop[:drop])
	sent := w.socket.Transmit(w.descs[:out])
	var err error
	if out > 0 {
		err = w.socket.Flush()
	}
	if sent < out {
		w.socket.Recycle()
		sent += w.socket.Transmit(w.descs[sent:out])
		err = w.socket.Flush()
		w.socket.Release(w.descs[sent:out])
		full := packet.DropTxFull
		if err != nil {
			full = packet.DropLinkDown
		}
		w.undo(n, out-sent, full)
	}
	w.count.Ports[w.port].Sent += uint64(sent)
	return err
}

// sort puts those of n packets that leave at the front of w.descs, in their order, and the
// others into w.drop.
func (w *worker) sort(n int) (out, drop int) {
	for i, v := range w.verdicts[:n] {
		w.count.Verdicts[v]++
		d := w.descs[i]
		if !v.Leaves() {
			w.drop[drop] = d
			drop++
			continue
		}
		w.descs[out] = d
		out++
	}
	return out, drop
}

// undo counts the last so many packets that were to be sent as dropped instead. The
// flows' states stay: to the ends it is as if the packet was lost farther on.
func (w *worker) undo(n, unsent int, reason packet.Verdict) {
	for i := n - 1; unsent > 0; i-- {
		if w.verdicts[i].Leaves() {
			w.unsent(i, reason)
			unsent--
		}
	}
}

// unsent counts packet i, which was to be sent, as dropped instead.
func (w *worker) unsent(i int, reason packet.Verdict) {
	v := w.verdicts[i]
	w.verdicts[i] = reason
	w.count.Verdicts[v]--
	w.count.Verdicts[reason]++
	if v == packet.Forwarded {
		w.discount(i)
	}
}

// discount takes back what deliver or note counted. The record behind refs[i] may be removed by
// now, but not used again before the end of the batch.
func (w *worker) discount(i int) {
	r, n, id := w.refs[i], len(w.frames[i]), uint32(w.hashes[i])
	if r != noFlow {
		f := w.flows.Flow(r)
		w.flows.Untouch(r, f, n)
		id = f.BackendID
	}
	c, d := &w.count.Backends[id], r.Direction()&1
	c.Packets[d]--
	c.Bytes[d] -= uint64(n)
}
