package conntrack

import (
	"math/bits"
	"math/rand/v2"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

// Config sizes a [Table]. It can't be changed later.
type Config struct {
	MaxFlows int      // established flows; the embryonic budget comes on top
	Workers  int      // readers of the [Grace] period
	Timeouts Timeouts //
	Loads    *balancer.Loads
}

// Table is the flow table of the whole process, shared by all workers.
type Table struct {
	Grace *Grace

	flows     []Flow
	details   []detail    // by the same index
	addresses []addresses // by the same index; of flows with IPv6 only
	shards    []shard
	perShard  uint32 // records a shard owns: [i*perShard, (i+1)*perShard)
	shift     int    // of a hash to a shard: its topmost bits; caches index by the lowest
	seed      uint64
	timeouts  [numClasses]uint32 // ms
	loads     *balancer.Loads
	stats     stats
	sweep     uint32 // next list of Expire, over all shards; housekeeping goroutine only
}

const (
	maxShards = 64
	// minPerShard keeps small tables in few shards, so that their limit is met
	// as configured; a flow's shard is chosen by hash, never by how full it is.
	minPerShard = 4096
	// slack is what a shard owns beyond its budgets, for records that wait for
	// their grace period while their successors need a place.
	slack = 256
)

// New returns an empty table. The records of MaxFlows take their memory at once; those for
// half-open flows that come on top, the maps, and the addresses of IPv6 flows take it when
// they are first used.
func New(c Config) *Table {
	shards := 1
	for shards < maxShards && c.MaxFlows/(shards*2) >= minPerShard {
		shards *= 2
	}
	established := (c.MaxFlows + shards - 1) / shards
	embryonic := max(established/4, 1)
	perShard := established + embryonic + slack
	t := &Table{
		Grace:     newGrace(c.Workers),
		flows:     slab[Flow](shards * perShard),
		details:   make([]detail, shards*perShard), // not for every packet: small pages will do
		addresses: make([]addresses, shards*perShard),
		shards:    make([]shard, shards),
		perShard:  uint32(perShard),
		shift:     64 - bits.TrailingZeros(uint(shards)),
		seed:      rand.Uint64(), // not guessable, so nobody can aim at one shard or cache set
		loads:     c.Loads,
	}
	for i, d := range c.Timeouts {
		t.timeouts[i] = uint32(d.Milliseconds())
	}
	for i := range t.shards {
		first := i * perShard // a shard uses its records in order
		t.shards[i].init(uint32(first), uint32(perShard), [2]int{established, embryonic})
		populate(t.flows[first:][:established])
		populate(t.details[first:][:established])
	}
	return t
}

// Hash returns the hash under which the table and its caches file k.
func (t *Table) Hash(k *packet.Key) uint64 { return k.Hash(t.seed) }

func (t *Table) shard(hash uint64) *shard { return &t.shards[hash>>t.shift] }

func (t *Table) home(index uint32) *shard { return &t.shards[index/t.perShard] }

// Flow returns the record behind r. Reading its identity is safe only while the
// calling worker is online and has seen [Flow.Live].
func (t *Table) Flow(r Ref) *Flow { return &t.flows[r.index()] }

// Find looks k up in the authority, under its shard's read lock: what a worker
// does when its [Cache] does not know the flow.
func (t *Table) Find(k *packet.Key, hash uint64) (Ref, bool) {
	s := t.shard(hash)
	s.mu.RLock()
	r, ok := s.get(k)
	s.mu.RUnlock()
	if !ok || !t.Flow(r).Live() || !t.Matches(r, t.Flow(r), k) {
		return 0, false // the last two: on its way out, its keys go next
	}
	return r, true
}

// NewFlow describes a flow to be remembered.
type NewFlow struct {
	Key         packet.Key // the request's
	Backend     packet.Addr
	BackendPort uint16
	BackendID   uint32
	Paired      bool // replies come back through the balancer
}

// Outcome says what became of an [Table.Insert].
type Outcome uint8

// The outcomes.
const (
	Inserted Outcome = iota
	Exists           // another worker was faster; its flow is returned
	Clash            // the reply's key belongs to a live flow of another service
	Full             // no record could be had
)

// Insert remembers a flow and returns its request reference. When its budget is
// used up a least recently used flow goes first.
func (t *Table) Insert(n *NewFlow, hash uint64, now uint32) (Ref, Outcome) {
	class := TCPSyn
	switch n.Key.Proto {
	case packet.ProtoUDP:
		class = UDPNew
	case packet.ProtoICMP, packet.ProtoICMPv6:
		class = ICMP
	}
	s := t.shard(hash)
	s.mu.Lock()
	if s.full(budget(class)) {
		s.mu.Unlock()
		t.makeRoom(s, class, now)
		s.mu.Lock()
	}
	if r, ok := s.get(&n.Key); ok && t.Flow(r).Live() {
		s.mu.Unlock()
		return r, Exists
	}
	i, ok := s.alloc(t)
	if !ok {
		s.mu.Unlock()
		t.stats.full.Add(1)
		return 0, Full
	}
	t.write(i, n, class, now)
	s.put(&n.Key, ref(i, Request))
	s.lists[class].push(t.details, i)
	s.mu.Unlock()
	t.loads.AddFlows(n.BackendID, 1)
	t.loads.AddLive(n.BackendID, 1)
	t.stats.inserted.Add(1)

	if n.Paired {
		if out := t.pair(i); out != Inserted {
			t.Remove(ref(i, Request))
			return 0, out
		}
	}
	return ref(i, Request), Inserted
}

// write makes record i that of a new flow, and publishes it.
func (t *Table) write(i uint32, n *NewFlow, class Class, now uint32) {
	f, d := &t.flows[i], &t.details[i]
	ends := addresses{client: n.Key.Src, vip: n.Key.Dst, backend: n.Backend}
	for r := range f.low {
		f.low[r] = ends[r].Low()
	}
	f.port = [numRoles]uint16{client: n.Key.SrcPort, vip: n.Key.DstPort, backend: n.BackendPort}
	f.proto, f.BackendID, f.flags = uint8(n.Key.Proto), n.BackendID, 0
	if n.Paired {
		f.flags |= paired
	}
	if !is4(&n.Key) {
		f.flags |= ipv6
		t.addresses[i] = ends
	}
	f.mac.Store(0)
	set32(&f.seen, now)
	for dir := range f.packets {
		f.zero(dir)
		d.carry[dir].Store(0)
	}
	d.created, d.stamp = now, now
	f.state.Store(live | uint32(class)<<classShift)
}

// pair files the reply's key, unless it stands for another flow that is still
// in use. One that is closing makes way.
func (t *Table) pair(index uint32) Outcome {
	f, k := &t.flows[index], t.key(ref(index, Reply))
	s := t.shard(t.Hash(&k))
	for range 2 {
		s.mu.Lock()
		old, taken := s.get(&k)
		switch {
		case !f.Live():
			// Evicted since its request key was filed: whoever did that may have
			// looked for this key already, so nobody would take it out again.
			s.mu.Unlock()
			t.stats.full.Add(1)
			return Full
		case !taken || !t.Flow(old).Live():
			s.put(&k, ref(index, Reply))
			s.mu.Unlock()
			return Inserted
		}
		s.mu.Unlock()
		if t.Flow(old).Class() != TCPClosing {
			break
		}
		t.Remove(old)
	}
	t.stats.clashes.Add(1)
	return Clash
}

// Remove forgets the flow behind r. Of several callers at once one does it.
func (t *Table) Remove(r Ref) {
	i := r.index()
	s := t.home(i)
	s.mu.Lock()
	mine := s.claim(t, i)
	s.mu.Unlock()
	if mine {
		t.bury(i)
	}
}

// bury takes a claimed record's keys out of the maps and puts it into limbo.
// Its identity is still intact: nobody else may use the record before that.
func (t *Table) bury(i uint32) {
	f := &t.flows[i]
	if f.Paired() {
		k := t.key(ref(i, Reply))
		s := t.shard(t.Hash(&k))
		s.mu.Lock()
		s.drop(&k, ref(i, Reply))
		s.mu.Unlock()
	}
	if f.Class().live() {
		t.loads.AddLive(f.BackendID, -1)
	}
	t.loads.AddFlows(f.BackendID, -1)
	t.stats.removed.Add(1)
	k := t.key(ref(i, Request))
	s := t.home(i)
	s.mu.Lock()
	s.drop(&k, ref(i, Request))
	s.limbo.push(dead{index: i, tag: t.Grace.tag()})
	s.mu.Unlock()
}

// Reclassify moves the flow behind r on to a later class, and makes room there when
// its budget is used up. A class never goes back: the caller may have judged by a
// state that another worker has changed since.
func (t *Table) Reclassify(r Ref, class Class, now uint32) {
	i := r.index()
	f, s := &t.flows[i], t.home(i)
	if f.Class().embryonic() && !class.embryonic() {
		t.makeRoom(s, class, now)
	}
	s.mu.Lock()
	defer s.mu.Unlock() // a change of class happens a few times in a flow's life
	old := f.Class()
	if !f.Live() || class <= old {
		return
	}
	s.lists[old].remove(t.details, i)
	f.setClass(class)
	t.details[i].stamp = now
	s.lists[class].push(t.details, i)
	if old.live() && !class.live() {
		t.loads.AddLive(f.BackendID, -1)
	}
}
