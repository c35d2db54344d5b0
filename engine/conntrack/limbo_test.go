package conntrack

import (
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

func TestLimboIsAQueue(t *testing.T) {
	const records = 1 << 10
	var l limbo
	details := make([]detail, records)
	const first = 1<<32 - 40 // the tags run over 32 bits
	next, want := uint64(first), uint64(first)
	for round := range 50 {
		for range round % 7 {
			l.push(details, uint32(next%records), next)
			next++
		}
		for range round % 5 {
			i, ok := l.pop(details, next-1)
			if ok != (want < next) || ok && i != uint32(want%records) {
				t.Fatalf("round %d: popped %d %v, want %d of %d", round, i, ok, want%records, next)
			}
			if ok {
				want++
			}
		}
		if l.n != int(next-want) {
			t.Fatalf("round %d: %d wait, want %d", round, l.n, next-want)
		}
	}
	if _, ok := l.pop(details, want-1); ok || l.n == 0 {
		t.Error("popped before the grace period was over")
	}
}

// However many flows expire at once, the records that wait take no memory besides.
func TestLimboTakesNoMemory(t *testing.T) {
	const flows = 20_000
	tab := newTable(4*flows, 1)
	for n := range flows {
		mustInsert(t, tab, newFlow(n, packet.ProtoTCP), 0)
	}
	if n := testing.AllocsPerRun(1, func() { tab.Expire(1<<20, flows/2) }); n != 0 { // once to warm up
		t.Errorf("%v allocations", n)
	}
	if left := tab.Stats().Total(); left != 0 {
		t.Errorf("%d of %d flows did not expire", left, flows)
	}
}

// A worker takes few records back at a time, with however many it is faced: after a
// flood has timed out, thousands are in limbo.
func TestReclaimIsBounded(t *testing.T) {
	const flows = 1000
	tab := newTable(4*flows, 1)
	tab.Grace.Quiescent(0)
	for n := range flows {
		mustInsert(t, tab, newFlow(n, packet.ProtoTCP), 0)
	}
	tab.Expire(1<<20, flows)
	tab.Grace.Quiescent(0)
	if n := tab.shards[0].limbo.n; n != flows {
		t.Fatalf("%d records in limbo, want %d", n, flows)
	}
	for left := flows - reclaimBatch; left > 0; left -= reclaimBatch {
		for n := range reclaimBatch {
			mustInsert(t, tab, newFlow(left+n, packet.ProtoTCP), 1<<20)
			if got := tab.shards[0].limbo.n; got != left {
				t.Fatalf("%d records in limbo, want %d", got, left)
			}
		}
		tab.check(t)
	}
}

// check holds that every record of every shard is in exactly one place, and that the
// index has those that are live and no others.
func (t *Table) check(tt *testing.T) {
	tt.Helper()
	for n := range t.shards {
		s := &t.shards[n]
		s.mu.Lock()
		seen := map[uint32]string{}
		file := func(i uint32, place string) {
			if was, twice := seen[i]; twice {
				tt.Errorf("record %d is %s and %s", i, was, place)
			}
			if i/t.perShard != uint32(n) {
				tt.Errorf("record %d is %s in shard %d", i, place, n)
			}
			if live := t.flows[i].Live(); live != (place == "listed") {
				tt.Errorf("record %d is %s, live %v", i, place, live)
			}
			seen[i] = place
		}
		all := 0
		for c := range s.lists {
			listed := 0
			for i := s.lists[c].head; i != none; i = t.details[i].next {
				file(i, "listed")
				listed++
			}
			all += listed
			if listed != s.lists[c].n {
				tt.Errorf("shard %d: %d %v flows listed, %d counted", n, listed, Class(c), s.lists[c].n)
			}
		}
		for i := s.free; i != none; i = t.details[i].next {
			file(i, "free")
		}
		for i, n := s.limbo.head, s.limbo.n; n > 0; i, n = t.details[i].next, n-1 {
			file(i, "in limbo")
		}
		for i := s.fresh; i < s.end; i++ {
			file(i, "fresh")
		}
		filed := 0
		for hash, head := range s.heads {
			chain := 0
			for i := head; i != none; i = t.details[i].link {
				k := t.key(ref(i, Request))
				if seen[i] != "listed" || t.flows[i].flags&spilled != 0 || uint32(t.HashClient(&k, Request)) != hash {
					tt.Errorf("record %d is %s and in the index", i, seen[i])
				}
				chain++
			}
			if chain == 0 || chain > maxChain {
				tt.Errorf("shard %d: a chain of %d", n, chain)
			}
			filed += chain
		}
		for d := range s.spill {
			for k, i := range s.spill[d] {
				if seen[i] != "listed" || t.key(ref(i, Direction(d))) != k {
					tt.Errorf("record %d is %s and spilled", i, seen[i])
				}
			}
		}
		filed += len(s.spill[Request])
		if filed != all {
			tt.Errorf("shard %d: %d flows listed, %d in the index", n, all, filed)
		}
		if len(seen) != int(t.perShard) {
			tt.Errorf("shard %d: %d records of %d are lost", n, int(t.perShard)-len(seen), t.perShard)
		}
		s.mu.Unlock()
	}
}
