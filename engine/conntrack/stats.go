package conntrack

import (
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/internal/packet"
)

// stats counts events of the slow path.
type stats struct {
	inserted, removed, expired, clashes, full atomic.Uint64
	evicted                                   [2]atomic.Uint64
}

// Stats is the table at one moment. Flows are by class; the counters rise from
// the table's creation.
type Stats struct {
	Flows              [numClasses]int
	MaxFlows           int
	MaxEmbryonic       int
	Inserted, Removed  uint64
	Expired            uint64
	EvictedEstablished uint64
	EvictedEmbryonic   uint64
	Clashes            uint64 // inserts refused because their reply key was taken
	Full               uint64 // inserts refused because no record was free
}

// Total returns how many flows there are in all classes.
func (s Stats) Total() (n int) {
	for _, c := range s.Flows {
		n += c
	}
	return n
}

// Stats walks the table's lists. It locks one shard at a time.
func (t *Table) Stats() Stats {
	out := Stats{
		Inserted: t.stats.inserted.Load(), Removed: t.stats.removed.Load(), Expired: t.stats.expired.Load(),
		EvictedEstablished: t.stats.evicted[established].Load(), EvictedEmbryonic: t.stats.evicted[embryonic].Load(),
		Clashes: t.stats.clashes.Load(), Full: t.stats.full.Load(),
	}
	for i := range t.shards {
		s := &t.shards[i]
		out.MaxFlows += s.budget[established]
		out.MaxEmbryonic += s.budget[embryonic]
		s.mu.RLock()
		for c := range s.lists {
			out.Flows[c] += s.lists[c].n
		}
		s.mu.RUnlock()
	}
	return out
}

// Info is a copy of one flow for people.
type Info struct {
	Key         packet.Key  // the request's
	Backend     packet.Addr // of a masked flow zero: it is as BackendID says
	BackendPort uint16
	BackendID   uint32
	Source      packet.Addr // what the backend takes for the client's address; zero: that itself
	SourcePort  uint16
	Class       Class
	Age, Idle   time.Duration
	Packets     [2]uint64 // by Direction
	Bytes       [2]uint64
}

// Masked reports whether the flow's source is translated too.
func (in *Info) Masked() bool { return in.Source != packet.Addr{} }

// rangeBatch bounds how long Range keeps a shard's workers waiting.
const rangeBatch = 256

// Range calls visit with each live flow until it returns false. A shard is locked
// for a few records at a time, and visit runs outside of the lock.
func (t *Table) Range(now uint32, visit func(Info) bool) {
	batch := make([]Info, 0, rangeBatch)
	for i := range t.shards {
		s := &t.shards[i]
		for at, more := uint32(i)*t.perShard, true; more; at += rangeBatch {
			batch = batch[:0]
			s.mu.RLock()
			end := min(at+rangeBatch, s.fresh)
			for j := at; j < end; j++ {
				if f := &t.flows[j]; f.Live() {
					batch = append(batch, t.info(j, now))
				}
			}
			more = end < s.fresh
			s.mu.RUnlock()
			for _, f := range batch {
				if !visit(f) {
					return
				}
			}
		}
	}
}

func (t *Table) info(i, now uint32) Info {
	f, d := &t.flows[i], &t.details[i]
	in := Info{
		Key: t.key(ref(i, Request)), BackendID: f.BackendID, Class: f.Class(),
		Age:  time.Duration(idle(now, d.created)) * time.Millisecond,
		Idle: time.Duration(idle(now, f.lastSeen())) * time.Millisecond,
	}
	if f.Masked() {
		in.Source, in.SourcePort = t.address(i, source), f.port[source]
	} else {
		in.Backend, in.BackendPort = t.address(i, backend), f.port[backend]
	}
	for dir := range in.Packets {
		in.Packets[dir], in.Bytes[dir] = t.counted(i, Direction(dir))
	}
	return in
}
