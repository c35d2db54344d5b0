package conntrack

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// twins returns flows of two clients' ends that have the same hash.
func twins(t *testing.T, tab *Table) [2]*NewFlow {
	t.Helper()
	seen := map[uint32]int{}
	for n := range 1 << 20 {
		f := manyFlow(n)
		hash := uint32(tab.HashClient(f.Key, Request))
		if other, twice := seen[hash]; twice {
			g := manyFlow(other)
			return [2]*NewFlow{&g, &f}
		}
		seen[hash] = n
	}
	t.Fatal("a million clients, and no two have the same hash")
	return [2]*NewFlow{}
}

func TestClientsWithTheSameHash(t *testing.T) {
	tab := newTable(100, 1)
	flows := twins(t, tab)
	for first := range flows {
		refs := [2]Ref{mustInsert(t, tab, flows[0], 0), mustInsert(t, tab, flows[1], 0)}
		tab.check(t)
		for i, f := range flows {
			k := f.replyKey()
			request, ok := tab.Find(f.Key, Request)
			reply, okReply := tab.Find(&k, Reply)
			if !ok || request != refs[i] || !okReply || reply != refs[i]|Ref(Reply) {
				t.Errorf("flow %d: found %v %v, want %v", i, request, reply, refs[i])
			}
		}
		tab.Remove(refs[first])
		tab.check(t)
		if _, ok := tab.Find(flows[first].Key, Request); ok {
			t.Errorf("flow %d is there after it was removed", first)
		}
		if r, ok := tab.Find(flows[1-first].Key, Request); !ok || r != refs[1-first] {
			t.Errorf("flow %d went with the other one", 1-first)
		}
		tab.Remove(refs[1-first])
		tab.check(t)
	}
	if n := len(tab.shards[0].heads); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// A client's end with flows to very many services must not make a chain that each of its
// packets walks along.
func TestAClientWithManyFlows(t *testing.T) {
	const flows = 500
	for _, remove := range []func(int) int{
		func(n int) int { return n }, func(n int) int { return flows - 1 - n }, func(n int) int { return n * 7 % flows },
	} {
		tab := newTable(4*flows, 1)
		var refs [flows]Ref
		var left [flows]bool
		for n := range refs {
			left[n], refs[n] = true, mustInsert(t, tab, sharing(n, 1, packet.ProtoTCP), 0)
		}
		tab.check(t)
		s := &tab.shards[0]
		if len(s.heads) != 1 || len(s.spill) != 2*(flows-maxChain) {
			t.Errorf("%d chains, %d keys besides", len(s.heads), len(s.spill))
		}
		clash := sharing(flows-1, 1, packet.ProtoTCP) // one more service with the same backend
		clash.Key.DstPort = 9999
		if _, out := tab.Insert(clash, 0); out != Clash {
			t.Errorf("outcome %d, want Clash", out)
		}
		for n := range flows {
			gone := remove(n)
			tab.Remove(refs[gone])
			left[gone] = false
			if n%50 != 0 {
				continue
			}
			tab.check(t)
			for i, want := range refs {
				f := sharing(i, 1, packet.ProtoTCP)
				k := f.replyKey()
				request, ok := tab.Find(f.Key, Request)
				reply, okReply := tab.Find(&k, Reply)
				if ok != left[i] || okReply != left[i] || ok && (request != want || reply != want|Ref(Reply)) {
					t.Fatalf("flow %d: found %v %v, want %v (%v)", i, request, reply, want, left[i])
				}
			}
		}
		if len(s.heads)+len(s.spill) != 0 {
			t.Errorf("left are %v and %v", s.heads, s.spill)
		}
	}
}

// The reply's key of one flow may be another's request key: a client that has the address
// and the port of a service.
func TestDirectionsAreApart(t *testing.T) {
	tab := newTable(100, 1)
	a := newFlow(0, packet.ProtoUDP)
	k := a.replyKey()
	b := &NewFlow{Key: &k, Backend: packet.Addr{15: 9}, BackendPort: 1, Paired: true}
	ra := mustInsert(t, tab, a, 0)
	if _, ok := tab.Find(b.Key, Request); ok {
		t.Error("a reply is taken for a request")
	}
	rb := mustInsert(t, tab, b, 0)
	if r, ok := tab.Find(b.Key, Request); !ok || r != rb {
		t.Errorf("the request: %v, want %v", r, rb)
	}
	if r, ok := tab.Find(b.Key, Reply); !ok || r != ra|Ref(Reply) {
		t.Errorf("the reply: %v, want %v", r, ra|Ref(Reply))
	}
	tab.check(t)
}

// Warm holds several locks: it must not wait for itself or for its like.
func TestWarmAmongWriters(t *testing.T) {
	tab := newTable(8*minPerShard, 1)
	if len(tab.shards) != 8 {
		t.Fatalf("%d shards, want several", len(tab.shards))
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 500 {
				flow := newFlow(500*w+n, packet.ProtoUDP)
				clients := []uint64{tab.HashClient(flow.Key, Request)}
				for range 7 {
					clients = append(clients, rand.Uint64())
				}
				tab.Warm(clients)
				r, out := tab.Insert(flow, 0)
				if out != Inserted {
					t.Errorf("flow %d of %d: outcome %d", n, w, out)
				}
				tab.Warm(clients)
				tab.Remove(r)
			}
		})
	}
	wg.Wait()
	tab.check(t)
}
