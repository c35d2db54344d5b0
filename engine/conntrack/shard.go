package conntrack

import "sync"

const (
	established = 0 // index of the budgets
	embryonic   = 1
)

func budget(c Class) int {
	if embryonicKind.has(c) {
		return embryonic
	}
	return established
}

// full reports whether b's budget has no room for a further record.
func (s *shard) full(b int) bool {
	return s.count([2]kind{establishedKind, embryonicKind}[b]) >= s.budget[b]
}

// shard owns a range of the slab, and the flows of a part of the clients.
type shard struct {
	mu sync.RWMutex

	// Guarded by mu.

	index
	lists  [numClasses]list
	limbo  limbo
	free   uint32 // head of a stack linked through detail.next
	fresh  uint32 // records from here to end were never used
	end    uint32
	budget [2]int // established, embryonic

	_ [64]byte // the next shard's lock on a line of its own
}

func (s *shard) init(first, n uint32, budgets [2]int) {
	s.index = newIndex(budgets[established])
	s.fresh, s.end, s.free = first, first+n, none
	s.budget = budgets
	for i := range s.lists {
		s.lists[i] = list{head: none, tail: none}
	}
}

// alloc hands out a record: one that was freed, one whose grace period is over,
// or one that was never used.
func (s *shard) alloc(t *Table) (uint32, bool) {
	if s.free == none && s.limbo.n > 0 {
		s.reclaim(t)
	}
	i := s.free
	switch {
	case i != none:
		s.free = t.details[i].next
	case s.fresh < s.end:
		i = s.fresh
		s.fresh++
	default:
		return 0, false
	}
	switch { // the next one shall be at hand
	case s.free != none:
		t.prefetch(s.free)
	case s.fresh < s.end:
		t.prefetch(s.fresh)
	}
	return i, true
}

// reclaimBatch bounds how many records a worker takes back at once: each is a cache
// miss under the shard's lock, and after a flood there are thousands.
const reclaimBatch = 64

// reclaim moves records whose grace period is over from limbo to the free stack.
func (s *shard) reclaim(t *Table) {
	passed := t.Grace.passed()
	for range reclaimBatch {
		i, ok := s.limbo.pop(t.details, passed)
		if !ok {
			return
		}
		t.details[i].next, s.free = s.free, i
	}
}

// remove takes the live record i out of everything. Its identity stands until nobody
// can hold a reference any more.
func (s *shard) remove(t *Table, i uint32) {
	s.forget(t, i)
	if t.flows[i].Masked() {
		t.unmask(i)
	}
}

// forget is remove, but that a masked flow's source stays lent.
func (s *shard) forget(t *Table, i uint32) {
	f := &t.flows[i]
	class := f.Class()
	f.state.And(^live)
	s.lists[class].remove(t.details, i)
	s.unfile(t, i)
	s.limbo.push(t.details, i, t.Grace.tag())
	if class.live() {
		t.loads.AddLive(f.BackendID, -1)
	}
	if class.stands() {
		t.loads.AddEstablished(f.BackendID, -1)
	}
	t.loads.AddFlows(f.BackendID, -1)
	if f.flags&observed != 0 {
		t.observer.Ended(t.address(i, client), f.BackendID)
	}
	t.stats.removed.Add(1)
}
