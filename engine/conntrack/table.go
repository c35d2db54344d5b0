package conntrack

import (
	"cmp"
	"math/bits"
	"math/rand/v2"
	"os"
	"sync/atomic"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/snat"
	"github.com/afxlb/afxlb/internal/packet"
)

// Config sizes a [Table]. Only the timeouts can be changed later.
type Config struct {
	MaxFlows int // established flows; the embryonic budget comes on top
	Workers  int // readers of the [Grace] period
	Timeouts Timeouts
	Loads    *balancer.Loads
	Seed     uint64   // of the hashes; 0: one that nobody can guess, so that nobody can aim at one shard or cache set
	Observer Observer // nil: there is none
}

// Observer is told of those flows that somebody asked to have observed, under the lock of
// their shard: it must not call the [Table].
type Observer interface {
	Proven(client packet.Addr, backend uint32) // both sides have been seen
	Ended(client packet.Addr, backend uint32)
}

// Table is the flow table of the whole process, shared by all workers.
type Table struct {
	Grace *Grace
	Ports *snat.Pools // what the sources of masked flows are lent from

	flows     []Flow
	details   []detail    // by the same index
	addresses []addresses // by the same index; of flows with IPv6 only
	pools     []uint32    // by the same index; of masked flows, where the port is from
	memory    *os.File    // of flows and details
	shards    []shard
	perShard  uint32 // records a shard owns: [i*perShard, (i+1)*perShard)
	shift     int    // of a hash to a shard: its topmost bits; caches index by the lowest
	seed      uint64
	timeouts  [numClasses]atomic.Uint32 // ms
	loads     *balancer.Loads
	observer  Observer
	stats     stats
	over      *over // nil, but of a table over another one

	// The housekeeping goroutine's own.

	sweep uint32 // next list of Expire, over all shards
	hurry uint   // doublings of Expire's limit
}

const (
	maxShards = 64 // as many as a word has bits; see Warm
	// minPerShard keeps small tables in few shards, so that their limit is met
	// as configured; a flow's shard is chosen by hash, never by how full it is.
	minPerShard = 4096
	// slack is what a shard owns beyond its budgets, for records that wait for
	// their grace period while their successors need a place.
	slack = 256
)

// New returns an empty table. The records of MaxFlows and the maps take their memory at
// once; the records for half-open flows that come on top, and the addresses of IPv6 flows,
// take it when they are first used.
func New(c Config) *Table {
	shards := 1
	for shards < maxShards && c.MaxFlows/(shards*2) >= minPerShard {
		shards *= 2
	}
	established := (c.MaxFlows + shards - 1) / shards
	embryonic := max(established/4, 1)
	perShard := established + embryonic + slack
	t := &Table{
		Grace:    newGrace(c.Workers),
		Ports:    snat.NewPools(),
		shards:   make([]shard, shards),
		perShard: uint32(perShard),
		shift:    64 - bits.TrailingZeros(uint(shards)),
		seed:     cmp.Or(c.Seed, rand.Uint64()),
		loads:    c.Loads,
		observer: c.Observer,
	}
	t.flows, t.details, t.memory = flowSlabs(t, shards*perShard)
	t.addresses = slab[addresses](t, shards*perShard)
	t.pools = slab[uint32](t, shards*perShard)
	t.SetTimeouts(c.Timeouts)
	for i := range t.shards {
		first := i * perShard // a shard uses its records in order
		t.shards[i].init(uint32(first), uint32(perShard), [2]int{established, embryonic})
		populate(t.flows[first:][:established])
		populate(t.details[first:][:established])
	}
	return t
}

// SetTimeouts changes how long flows may be idle, of those that are there too. Anybody
// may call it at any time; [Table.Expire] goes by it from its next list on. A flow is
// looked at when an eighth of the timeout has passed since the last time: of the new one.
func (t *Table) SetTimeouts(timeouts Timeouts) {
	for c := range numClasses {
		t.timeouts[c].Store(uint32(timeouts.timeout(c).Milliseconds()))
	}
}

// Hash returns the hash under which caches file k.
func (t *Table) Hash(k *packet.Key) uint64 { return k.Hash(t.seed) }

// HashClient returns the hash of the client's end of k, a key in direction d, under
// which the shards file the flow.
func (t *Table) HashClient(k *packet.Key, d Direction) uint64 {
	if d == Reply {
		return packet.HashEnd(&k.Dst, k.DstPort, k.Proto, t.seed)
	}
	return packet.HashEnd(&k.Src, k.SrcPort, k.Proto, t.seed)
}

func (t *Table) shard(hash uint64) *shard { return &t.shards[hash>>t.shift] }

func (t *Table) home(index uint32) *shard { return &t.shards[index/t.perShard] }

// Flow returns the record behind r, which is there as long as the table is reachable.
// Reading its identity is safe only while the calling worker is online and has seen
// [Flow.Live].
func (t *Table) Flow(r Ref) *Flow { return &t.flows[r.index()] }

// Find looks for the flow of which k is the key in direction d, under its shard's read
// lock: what a worker does when its [Cache] does not know the flow.
func (t *Table) Find(k *packet.Key, d Direction) (Ref, bool) {
	hash := t.HashClient(k, d)
	if t.over != nil {
		t.bringFound(hash, k, d)
	}
	s := t.shard(hash)
	s.mu.RLock()
	r, ok := s.find(t, s.head(hash), k, d)
	s.mu.RUnlock()
	return r, ok
}

// FindLatest looks for the one of scattered flows with the request key k that was seen last;
// of very many, of those that are in their client's chain.
func (t *Table) FindLatest(k *packet.Key, now uint32) (latest Ref, ok bool) {
	hash := t.HashClient(k, Request)
	if t.over != nil {
		if r, ok := t.over.behind.FindLatest(k, now); ok {
			t.adopt(r.index())
		}
	}
	s := t.shard(hash)
	s.mu.RLock()
	defer s.mu.RUnlock()
	var least uint32
	for i := s.head(hash); i != none; i = t.details[i].link {
		f, r := &t.flows[i], ref(i, Request)
		if d := idle(now, f.lastSeen()); f.Scattered() && t.key(r) == *k && (!ok || d < least) {
			latest, least, ok = r, d, true
		}
	}
	return latest, ok
}

// Warm brings what Find and Insert will need into the processor's caches, for flows with
// these hashes of their clients' ends: by lookups that do not wait for each other. A lock
// between two of them would have the second wait for the first, so all shards concerned
// are locked before, in ascending order.
func (t *Table) Warm(clients []uint64) {
	var shards uint64 // a bit each
	for _, hash := range clients {
		shards |= 1 << (hash >> t.shift)
	}
	for left := shards; left != 0; left &= left - 1 {
		t.shards[bits.TrailingZeros64(left)].mu.RLock()
	}
	for _, hash := range clients {
		if i := t.shard(hash).head(hash); i != none {
			t.prefetch(i)
		}
	}
	for left := shards; left != 0; left &= left - 1 {
		t.shards[bits.TrailingZeros64(left)].mu.RUnlock()
	}
}

// NewFlow describes a flow to be remembered.
type NewFlow struct {
	Key         *packet.Key // the request's; only read, and not kept
	Backend     packet.Addr
	BackendPort uint16
	BackendID   uint32
	Source      *snat.Lease // what the backend takes for the client's end; nil: that itself
	Paired      bool        // replies come back through the balancer
	FromService bool        // the client's address is a service's too
	Observed    bool        // the Observer is told of its end
	Opened      bool        // TCP: a SYN begins it
	Scattered   bool        // its client's end may have others to the service; see [Flow.Scattered]. Needs Paired
}

// Outcome says what became of an [Table.Insert].
type Outcome uint8

// The outcomes.
const (
	Inserted Outcome = iota
	Exists           // another worker was faster; its flow is returned
	Clash            // the reply's key belongs to a live flow of another service
	Full             // no record could be had
	NoSource         // for the caller's use: there was no source to be had, and so no insert
)

// Insert remembers a flow and returns its request reference. When its budget is
// used up a least recently used flow goes first.
func (t *Table) Insert(n *NewFlow, now uint32) (Ref, Outcome) {
	if n.Source != nil {
		prefetchSource(n.Source)
	}
	if t.over != nil {
		t.bringRivals(n)
	}
	var r Ref
	out := Clash
	if !n.Paired || n.Source != nil || !n.FromService || t.clearWay(n) {
		hash := t.HashClient(n.Key, Request)
		s := t.shard(hash)
		s.mu.Lock()
		r, out = s.insert(t, n, hash, now)
		s.mu.Unlock()
	}
	switch out {
	case Inserted:
		t.loads.AddFlows(n.BackendID, 1)
		t.loads.AddLive(n.BackendID, 1)
		t.stats.inserted.Add(1)
	case Clash:
		t.stats.clashes.Add(1)
	case Full:
		t.stats.full.Add(1)
	}
	return r, out
}

// clearWay reports whether the replies of n are no other flow's requests: that of a client
// that is n's backend to a service that is n's client. One that is over makes way.
func (t *Table) clearWay(n *NewFlow) bool {
	k := n.replyKey()
	r, ok := t.Find(&k, Request)
	if ok && t.Flow(r).Class().over() {
		t.Remove(r)
		ok = false
	}
	return !ok
}

func (s *shard) insert(t *Table, n *NewFlow, hash uint64, now uint32) (Ref, Outcome) {
	head := s.head(hash)
	if r, ok := s.find(t, head, n.Key, Request); ok {
		return r, Exists
	}
	if n.Source != nil && n.Scattered {
		if r, ok := s.findScattered(t, head, n.Key, n.BackendID); ok {
			return r, Exists
		}
	}
	if n.Paired && n.Source == nil {
		// Replies must not be taken for another flow's. One that is over makes way.
		k := n.replyKey()
		if r, ok := s.find(t, head, &k, Reply); ok {
			f := t.Flow(r)
			same := f.Scattered() && t.RequestKey(r) == *n.Key
			switch {
			case same && n.Scattered:
				return r ^ 1, Exists
			case !same && !f.Class().over():
				return 0, Clash
			}
			s.remove(t, r.index())
		}
	}
	class := n.class()
	s.makeRoom(t, class, now)
	i, ok := s.alloc(t)
	if !ok {
		return 0, Full
	}
	head = s.head(hash) // may have gone
	t.write(i, n, class, now, s.crowded(t, head))
	s.file(t, i, hash, head)
	s.lists[class].push(t.details, i)
	return ref(i, Request), Inserted
}

// class returns the class that a flow begins in.
func (n *NewFlow) class() Class {
	switch n.Key.Proto {
	case packet.ProtoUDP:
		return UDPNew
	case packet.ProtoICMP, packet.ProtoICMPv6:
		return ICMP
	}
	return TCPSyn
}

// replyKey returns the key of the replies.
func (n *NewFlow) replyKey() packet.Key {
	return packet.Key{Src: n.Backend, Dst: n.Key.Src, SrcPort: n.BackendPort, DstPort: n.Key.SrcPort, Proto: n.Key.Proto}
}

// write makes record i that of a new flow, and publishes it.
func (t *Table) write(i uint32, n *NewFlow, class Class, now uint32, spill bool) {
	f, d := &t.flows[i], &t.details[i]
	f.low = [numRoles]uint32{client: n.Key.Src.Low(), vip: n.Key.Dst.Low(), backend: n.Backend.Low()}
	f.port = [numRoles]uint16{client: n.Key.SrcPort, vip: n.Key.DstPort, backend: n.BackendPort}
	f.proto, f.BackendID, f.flags = uint8(n.Key.Proto), n.BackendID, 0
	if !n.Paired {
		f.flags |= oneWay
	}
	if spill {
		f.flags |= spilled
	}
	if n.Observed {
		f.flags |= observed
	}
	if n.Scattered {
		f.flags |= scattered
	}
	if !is4(n.Key) || !n.Backend.Is4() {
		f.flags |= ipv6
		t.addresses[i] = addresses{client: n.Key.Src, vip: n.Key.Dst, backend: n.Backend}
	}
	if n.Source != nil {
		t.mask(i, n, n.Source)
	}
	f.hop.Store(0)
	set32(&f.seen, now)
	t.uncount(i)
	d.created, d.stamp = now, now
	state := live | unproven | uint32(class)<<classShift
	if n.Opened {
		state |= opened
	}
	f.state.Store(state)
}

// Remove forgets the flow behind r. Of several callers at once one does it.
func (t *Table) Remove(r Ref) {
	i := r.index()
	s := t.home(i)
	s.mu.Lock()
	if t.flows[i].Live() {
		s.remove(t, i)
	}
	s.mu.Unlock()
}

// reclassify moves the flow behind r from one class on to another, and makes room there
// when its budget is used up. Another worker may have moved it since the caller looked:
// the later stage of life then stands.
func (t *Table) reclassify(r Ref, from, to Class, now uint32) {
	i := r.index()
	f, s := &t.flows[i], t.home(i)
	s.mu.Lock()
	defer s.mu.Unlock() // a change of class happens a few times in a flow's life
	old := f.Class()
	if !f.Live() || to == old || old != from && to < old {
		return
	}
	s.lists[old].remove(t.details, i)
	if budget(old) != budget(to) {
		s.makeRoom(t, to, now)
	}
	f.setClass(to)
	t.details[i].stamp = now
	s.lists[to].push(t.details, i)
	if live := to.live(); live != old.live() {
		t.loads.AddLive(f.BackendID, delta(live))
	}
	if stands := to.stands(); stands != old.stands() {
		t.loads.AddEstablished(f.BackendID, delta(stands))
	}
	if f.flags&observed != 0 && (to == TCPEstablished || to == UDPEstablished) {
		t.observer.Proven(t.address(i, client), f.BackendID)
	}
}

// delta is what an event of a connection adds to its backend's live ones.
func delta(live bool) int {
	if live {
		return 1
	}
	return -1
}
