package conntrack

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// TestWorkersShareATable lets workers with caches of their own insert, find,
// close and evict the same flows, while a housekeeper expires and a reader lists
// them. A flow's backend follows from its key, so a record that is reused under a
// worker's eyes shows as a wrong backend, and as a data race under -race.
func TestWorkersShareATable(t *testing.T) {
	const workers, batches, keys = 4, 150, 600
	tab := newTable(200, workers) // smaller than the key space: evictions all the time
	var flows [keys]*NewFlow
	for n := range flows {
		flows[n] = sharing(n, keys/12, packet.ProtoTCP)
	}
	var wg, side sync.WaitGroup
	var stop atomic.Bool
	var hits, now atomic.Uint32
	for w := range workers {
		wg.Go(func() {
			rng, cache := rand.New(rand.NewPCG(1, uint64(w))), NewCache(1024)
			for range batches {
				tab.Grace.Quiescent(w)
				tab.Warm([]uint64{rng.Uint64(), rng.Uint64(), rng.Uint64(), rng.Uint64()})
				for range 64 {
					flow := flows[rng.IntN(keys)]
					k, d := *flow.Key, Request
					if rng.IntN(2) == 0 {
						k, d = flow.replyKey(), Reply
					}
					h := tab.Hash(&k)
					r, ok := cache.Get(h), false
					if f := tab.Flow(r); f.Live() && tab.Matches(r, f, &k) {
						hits.Add(1)
					} else if r, ok = tab.Find(&k, d); ok {
						cache.Put(h, r)
					} else if d == Reply {
						continue
					} else if r, ok = insert(tab, cache, flow, h, now.Load()); !ok {
						continue
					}
					f := tab.Flow(r)
					if f.Live() && tab.Matches(r, f, &k) && (tab.address(r.index(), backend) != flow.Backend || f.port[backend] != flow.BackendPort) {
						t.Errorf("flow of %v has another backend than %v port %d", k.Src.Netip(), flow.Backend.Netip(), flow.BackendPort)
					}
					tab.touch(r, 60, now.Load())
					s := packet.Segment{Flags: []uint8{syn, ack, ack, ack, fin, rst}[rng.IntN(6)]}
					if f.Settled(d, s.Flags) {
						if !f.Follow(d, s) {
							f.FollowFar(d, s)
						}
					} else {
						tab.Advance(r|Ref(d), f, s, now.Load())
					}
				}
				now.Add(50)
			}
			tab.Grace.Offline(w)
		})
	}
	side.Go(func() {
		for !stop.Load() {
			tab.Expire(now.Load(), 64)
		}
	})
	side.Go(func() {
		for !stop.Load() {
			tab.Range(now.Load(), func(in Info) bool { return in.BackendPort == 8080 })
		}
	})
	wg.Wait()
	stop.Store(true)
	side.Wait()

	tab.check(t)
	s := tab.Stats()
	if hits.Load() == 0 || s.EvictedEmbryonic+s.EvictedEstablished == 0 {
		t.Errorf("hits %d, evictions %d+%d: the test did not stress what it is for", hits.Load(), s.EvictedEmbryonic, s.EvictedEstablished)
	}
	if int(s.Inserted-s.Removed) != s.Total() {
		t.Errorf("inserted %d - removed %d ≠ %d flows", s.Inserted, s.Removed, s.Total())
	}
	var live, all int64
	for id := range uint32(7) {
		live, all = live+tab.loads.Live(id), all+tab.loads.Flows(id)
	}
	if all != int64(s.Total()) || live != int64(s.Total()-s.Flows[TCPClosing]) {
		t.Errorf("loads: live %d flows %d, table: %d closing of %d", live, all, s.Flows[TCPClosing], s.Total())
	}
}

func insert(tab *Table, c *Cache, flow *NewFlow, h uint64, now uint32) (Ref, bool) {
	r, out := tab.Insert(flow, now)
	if out > Exists {
		return 0, false
	}
	c.Put(h, r)
	return r, true
}
