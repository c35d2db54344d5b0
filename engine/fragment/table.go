package fragment

import (
	"cmp"
	"math/rand/v2"
	"sync/atomic"

	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// Lifetime is how long after the first that was seen of it a datagram is remembered, in ms.
// The ends wait longer (RFC 8200, 4.5; ipfrag_time of Linux), but nothing is put together here,
// and fragments of one packet that are seconds apart are of use to those who fill tables only.
// What is complete is forgotten at once. So a sender whose 16 bits of identification
// come round meets an older datagram of its own only if it sends 13,000 a second and some of their
// fragments are lost (RFC 4963).
const Lifetime = 5000

const (
	numShards = 16
	// perShard is how many datagrams a shard remembers: 8192 in all, as Cilium does.
	perShard = 512
	// bytesPerShard and heldPerShard bound what a shard holds: more than the largest datagram
	// that there can be.
	bytesPerShard = 96 << 10
	heldPerShard  = 256
)

// Datagram is what all fragments of a packet have in common (RFC 791, 3.2; RFC 8200, 4.5).
type Datagram struct {
	Src, Dst packet.Addr
	ID       uint32
	Proto    uint32 // 0 in IPv6, where only that of the first fragment counts
}

// Head is what the first fragment of a datagram tells, and no other does.
type Head struct {
	SrcPort, DstPort uint16 // as in a packet.Key
	Proto            uint8  // of the transport
	Echo             bool   // an echo request
}

// Way is what became of the first fragment of a datagram.
type Way struct {
	Verdict packet.Verdict
	Flow    conntrack.Ref // by which it went, if it was forwarded
	Backend uint32        // to which it went, if it was without a flow
	ID      uint16        // under which it went, if Renamed
	Renamed bool
}

// Outcome says what becomes of a fragment.
type Outcome uint8

// The outcomes.
const (
	Goes      Outcome = iota // the way of the first one
	Completes                // the same, and was all that was missing: Done is to follow
	Held                     // until the first one comes; there is a copy
	Copy                     // not again: its bytes have gone by
	Overlaps                 // nowhere, nor does any other of the datagram
	Overflows                // nowhere: too many parts are missing in between
)

// Table is the fragments of one process, shared by all workers.
type Table struct {
	seed   uint64
	held   atomic.Int64
	names  atomic.Uint32 // the last one that NewID gave
	shards [numShards]shard
}

// New returns an empty table, which takes its memory when it is first used. A seed other than
// 0 has it evict the same each time; else nobody knows it.
func New(seed uint64) *Table { return &Table{seed: cmp.Or(seed, rand.Uint64())} }

// Over returns a table that goes on to give out names where t is, and knows none of its datagrams.
func Over(t *Table) *Table {
	own := New(t.seed)
	own.names.Store(t.names.Load())
	return own
}

// shard returns the shard of d. Nobody knows the seed, so nobody can aim at one.
func (t *Table) shard(d *Datagram) *shard {
	k := packet.Key{Src: d.Src, Dst: d.Dst, SrcPort: uint16(d.ID >> 16), DstPort: uint16(d.ID), Proto: d.Proto}
	return &t.shards[k.Hash(t.seed)%numShards]
}

// enter locks a shard that is in use, or about to be, and returns how many fragments it
// holds. Those whose time is over go to out.
func (s *shard) enter(now uint32, out *Out) (held int) {
	s.mu.Lock()
	held = s.held.live
	if s.index == nil {
		s.size(perShard, bytesPerShard, heldPerShard)
	}
	s.expire(now, out)
	return held
}

// leave unlocks a shard, which held so many fragments.
func (t *Table) leave(s *shard, held int) {
	if n := s.held.live - held; n != 0 {
		t.held.Add(int64(n))
	}
	s.mu.Unlock()
}

// Begin notes the first fragment of d. If that [Goes], Open must follow once it has, or once
// it was dropped on its way.
func (t *Table) Begin(d *Datagram, p packet.Place, h Head, now uint32, out *Out) Outcome {
	s := t.shard(d)
	held := s.enter(now, out)
	o := s.begin(d, p, h, now, out)
	t.leave(s, held)
	return o
}

// Open lets the other fragments of d follow the first one, which went way. Those that were
// held are ready.
func (t *Table) Open(d *Datagram, way Way, now uint32, out *Out) {
	s := t.shard(d)
	held := s.enter(now, out)
	s.open(d, way, out)
	t.leave(s, held)
}

// Follow notes a fragment of d, in frame, that came by port and is not the first one. If it
// [Goes], the first one said this and went that way.
func (t *Table) Follow(d *Datagram, p packet.Place, frame []byte, port uint8, now uint32, out *Out) (Head, Way, Outcome) {
	s := t.shard(d)
	held := s.enter(now, out)
	h, way, o := s.follow(d, p, frame, port, now, out)
	t.leave(s, held)
	return h, way, o
}

// Undo takes back that a fragment of d goes: it will come once more, in pieces. Without its
// first one the others wait again.
func (t *Table) Undo(d *Datagram, p packet.Place, now uint32, out *Out) {
	s := t.shard(d)
	held := s.enter(now, out)
	s.undo(d, p)
	t.leave(s, held)
}

// Done forgets d, of which nothing is missing: the next datagram may have its identification.
func (t *Table) Done(d *Datagram, now uint32, out *Out) {
	s := t.shard(d)
	held := s.enter(now, out)
	s.done(d)
	t.leave(s, held)
}

// NewID returns an identification for a datagram whose addresses are translated: whoever
// translates them must see to it that it is unique (RFC 6864, 5.3), since senders that know
// nothing of each other are one after that. None comes again before all others did.
func (t *Table) NewID() uint16 { return uint16(t.names.Add(1)) }

// Expire gives out what was held for too long. It costs nothing while nothing is held.
func (t *Table) Expire(now uint32, out *Out) {
	if t.held.Load() == 0 {
		return
	}
	for i := range t.shards {
		s := &t.shards[i]
		held := s.enter(now, out)
		t.leave(s, held)
	}
}

// Held returns how many fragments are held.
func (t *Table) Held() int { return int(t.held.Load()) }
