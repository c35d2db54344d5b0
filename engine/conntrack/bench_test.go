package conntrack

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// manyFlow is like newFlow for more flows than that can tell apart.
func manyFlow(n int) NewFlow {
	f := *newFlow(0, packet.ProtoUDP)
	f.Key.Src[13], f.Key.Src[14], f.Key.Src[15] = byte(n>>16), byte(n>>8), byte(n)
	return f
}

func filled(b *testing.B, flows int) (*Table, []packet.Key) {
	b.Helper()
	tab := newTable(6*flows, 1) // new UDP flows are embryonic: a quarter of the limit, shared unevenly by the shards
	keys := make([]packet.Key, flows)
	for n := range flows {
		f := manyFlow(n)
		keys[n] = *f.Key
		if _, out := tab.Insert(&f, 0); out != Inserted {
			b.Fatalf("insert %d: outcome %d", n, out)
		}
	}
	rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return tab, keys
}

func BenchmarkFind(b *testing.B) {
	for _, flows := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(flows), func(b *testing.B) {
			tab, keys := filled(b, flows)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k := &keys[i%flows]
				if _, ok := tab.Find(k, Request); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkCacheHit(b *testing.B) {
	for _, flows := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(flows), func(b *testing.B) {
			tab, keys := filled(b, flows)
			cache := NewCache(4 * flows)
			for i := range keys {
				h := tab.Hash(&keys[i])
				r, _ := tab.Find(&keys[i], Request)
				cache.Put(h, r)
			}
			b.ReportAllocs()
			hits, n := 0, 0
			for i := 0; b.Loop(); i++ {
				k := &keys[i%flows]
				r := cache.Get(tab.Hash(k))
				if f := tab.Flow(r); f.Live() && tab.Matches(r, f, k) {
					hits++
				}
				n++
			}
			b.ReportMetric(float64(hits)/float64(n), "hits/op")
		})
	}
}

// BenchmarkInsertEvict is a flood: every insert is new and pushes an old one out.
func BenchmarkInsertEvict(b *testing.B) {
	tab, _ := filled(b, 10_000)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f := manyFlow(1<<20 + i&0xfffff)
		tab.Insert(&f, uint32(i))
		if i%64 == 0 {
			tab.Grace.Quiescent(0)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	tab := newTable(100, 1)
	cache := NewCache(100)
	flow := newFlow(2, packet.ProtoTCP)
	k, h := flow.Key, tab.Hash(flow.Key)
	cycle := func() {
		r, _ := tab.Insert(flow, 0)
		cache.Put(h, r)
		if _, ok := tab.Find(k, Request); !ok {
			t.Fatal("not found")
		}
		f := tab.Flow(r)
		tab.touch(r, 60, 1000)
		tab.Advance(r, f, packet.Segment{Flags: ack}, 1000)
		tab.reclassify(r, TCPSyn, TCPEstablished, 1000)
		tab.Remove(r)
		tab.Grace.Quiescent(0)
	}
	for range 1000 {
		cycle() // the maps and limbo reach their size
	}
	if n := testing.AllocsPerRun(1000, cycle); n != 0 {
		t.Errorf("%v allocations per flow", n)
	}
}
