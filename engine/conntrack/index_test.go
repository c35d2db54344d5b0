package conntrack

import (
	"net/netip"
	"runtime"
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
		if len(s.heads) != 1 || len(s.spill[Request]) != flows-maxChain || len(s.spill[Reply]) != flows-maxChain {
			t.Errorf("%d chains, %d and %d keys besides", len(s.heads), len(s.spill[Request]), len(s.spill[Reply]))
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
		if len(s.heads)+len(s.spill[Request])+len(s.spill[Reply]) != 0 {
			t.Errorf("left are %v and %v", s.heads, s.spill)
		}
	}
}

// The reply's key of one flow may be another's request key: a client that has the address
// and the port of a service. With or without others of the same clients before them.
func TestDirectionsAreApart(t *testing.T) {
	for _, crowd := range []int{0, maxChain} {
		tab := newTable(100, 1)
		a := newFlow(0, packet.ProtoUDP)
		k := a.replyKey()
		b := &NewFlow{Key: &k, Backend: packet.AddrFrom(netip.MustParseAddr("10.0.0.99")), BackendPort: 1, Paired: true}
		for n := range crowd {
			for _, f := range []NewFlow{*a, *b} {
				key := *f.Key
				key.DstPort += uint16(1 + n)
				f.Key, f.BackendPort = &key, f.BackendPort+uint16(1+n)
				mustInsert(t, tab, &f, 0)
			}
		}
		ra := mustInsert(t, tab, a, 0)
		if _, ok := tab.Find(b.Key, Request); ok {
			t.Error("a reply is taken for a request")
		}
		rb := mustInsert(t, tab, b, 0)
		if n := len(tab.shards[0].spill[Request]); n != min(crowd, 2) {
			t.Fatalf("%d flows are spilled", n)
		}
		if r, ok := tab.Find(b.Key, Request); !ok || r != rb {
			t.Errorf("the request: %v, want %v", r, rb)
		}
		if r, ok := tab.Find(b.Key, Reply); !ok || r != ra|Ref(Reply) {
			t.Errorf("the reply: %v, want %v", r, ra|Ref(Reply))
		}
		tab.check(t)
		tab.Remove(rb)
		if r, ok := tab.Find(b.Key, Reply); !ok || r != ra|Ref(Reply) {
			t.Errorf("the reply when the request is gone: %v, want %v", r, ra|Ref(Reply))
		}
		tab.check(t)
	}
}

// Warm holds several locks: it takes them in ascending order, each once, and gives them
// all back.
func TestWarmTakesLocksInOrder(t *testing.T) {
	tab := newTable(8*minPerShard, 1)
	if len(tab.shards) != 8 {
		t.Fatalf("%d shards, want several", len(tab.shards))
	}
	locked := func(i int) bool {
		free := tab.shards[i].mu.TryLock()
		if free {
			tab.shards[i].mu.Unlock()
		}
		return !free
	}
	var clients []uint64
	for _, shard := range []uint64{3, 7, 0, 4, 3, 1, 6, 5, 2, 0} {
		clients = append(clients, shard<<tab.shift)
	}
	const held = 4
	tab.shards[held].mu.Lock()
	done := make(chan struct{})
	go func() {
		tab.Warm(clients)
		close(done)
	}()
	for !locked(held - 1) {
		runtime.Gosched()
	}
	for i := range tab.shards {
		if want := i <= held; locked(i) != want {
			t.Errorf("while shard %d is held, shard %d is locked: %v", held, i, !want)
		}
	}
	tab.shards[held].mu.Unlock()
	<-done
	for i := range tab.shards {
		if locked(i) {
			t.Errorf("shard %d stays locked", i)
		}
	}
}
