package conntrack

import (
	"sync"

	"github.com/afxlb/afxlb/internal/packet"
)

// key4 is a [packet.Key] of IPv4 addresses without the mapping prefix: less
// than half the memory in the maps of a table that is mostly IPv4.
type key4 struct {
	src, dst         [4]byte
	srcPort, dstPort uint16
	proto            uint32
}

func newKey4(k *packet.Key) key4 {
	return key4{[4]byte(k.Src[12:]), [4]byte(k.Dst[12:]), k.SrcPort, k.DstPort, k.Proto}
}

const (
	established = 0 // index of the budgets
	embryonic   = 1
)

func budget(c Class) int {
	if c.embryonic() {
		return embryonic
	}
	return established
}

// full reports whether b's budget has no room for a further record.
func (s *shard) full(b int) bool {
	n := 0
	for c := range s.lists {
		if budget(Class(c)) == b {
			n += s.lists[c].n
		}
	}
	return n >= s.budget[b]
}

// shard owns a range of the slab and a part of the key space. A flow's two keys
// usually lie in two shards; the record belongs to its request key's.
type shard struct {
	mu sync.RWMutex

	// Guarded by mu.

	v4     map[key4]Ref
	v6     map[packet.Key]Ref
	lists  [numClasses]list
	limbo  limbo
	free   uint32 // head of a stack linked through Flow.next
	fresh  uint32 // records from here to end were never used
	end    uint32
	budget [2]int // established, embryonic

	_ [64]byte // the next shard's lock on a line of its own
}

func (s *shard) init(first, n uint32, budgets [2]int) {
	s.v4, s.v6 = make(map[key4]Ref), make(map[packet.Key]Ref)
	s.fresh, s.end, s.free = first, first+n, none
	s.budget = budgets
	for i := range s.lists {
		s.lists[i] = list{head: none, tail: none}
	}
}

func is4(k *packet.Key) bool { return k.Src.Is4() && k.Dst.Is4() }

func (s *shard) get(k *packet.Key) (r Ref, ok bool) {
	if is4(k) {
		r, ok = s.v4[newKey4(k)]
	} else {
		r, ok = s.v6[*k]
	}
	return r, ok
}

func (s *shard) put(k *packet.Key, r Ref) {
	if is4(k) {
		s.v4[newKey4(k)] = r
	} else {
		s.v6[*k] = r
	}
}

// drop removes k if it still stands for r: it may have a new owner by now.
func (s *shard) drop(k *packet.Key, r Ref) {
	if is4(k) {
		if k4 := newKey4(k); s.v4[k4] == r {
			delete(s.v4, k4)
		}
	} else if s.v6[*k] == r {
		delete(s.v6, *k)
	}
}

// alloc hands out a record: one that was freed, one whose grace period is over,
// or one that was never used.
func (s *shard) alloc(t *Table) (uint32, bool) {
	if s.free == none && s.limbo.len() > 0 {
		s.reclaim(t)
	}
	if i := s.free; i != none {
		s.free = t.details[i].next
		return i, true
	}
	if i := s.fresh; i < s.end {
		s.fresh++
		if s.fresh < s.end {
			t.Prefetch([]Ref{ref(s.fresh, Request)}) // for the next one
		}
		return i, true
	}
	return 0, false
}

// reclaimBatch bounds how many records a worker takes back at once: each is a cache
// miss under the shard's lock, and after a flood there are thousands.
const reclaimBatch = 64

// reclaim moves records whose grace period is over from limbo to the free stack.
func (s *shard) reclaim(t *Table) {
	passed := t.Grace.passed()
	for range reclaimBatch {
		i, ok := s.limbo.pop(passed)
		if !ok {
			return
		}
		t.details[i].next, s.free = s.free, i
	}
}

// claim makes the caller the one that removes record i: it is dead from here
// on, out of its list and budget, but its identity stands.
func (s *shard) claim(t *Table, i uint32) bool {
	f := &t.flows[i]
	if !f.Live() {
		return false
	}
	f.state.And(^live)
	s.lists[f.Class()].remove(t.details, i)
	return true
}
