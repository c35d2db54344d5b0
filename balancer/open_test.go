package balancer

import (
	"math/big"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// limited is webSpec with these max-conns.
func limited(a Algorithm, limits []uint32, weights ...uint16) Spec {
	spec := webSpec(a, weights...)
	for i, n := range limits {
		spec.Services[0].Backends[i].MaxConns = n
	}
	return spec
}

// openOf returns who may get a new flow, said slowly: who has fewer connections than it may
// have and, if nobody has, fewer established ones.
func openOf(t *Table, spec *Spec, loads *Loads) (open []uint32) {
	s := &t.Services[0]
	for _, count := range []func(uint32) int64{loads.Live, loads.Established} {
		for _, id := range s.Eligible() {
			if limit := spec.Services[0].Backends[slices.Index(s.Backends, id)].MaxConns; limit == 0 || count(id) < int64(limit) {
				open = append(open, id)
			}
		}
		if len(open) > 0 {
			break
		}
	}
	return open
}

// allowed returns those of the open ones that an algorithm may pick.
func allowed(t *Table, loads *Loads, open []uint32, hash uint64) []uint32 {
	s := &t.Services[0]
	switch s.Algorithm {
	case LeastConn:
		return slices.DeleteFunc(slices.Clone(open), func(id uint32) bool {
			ratio := func(id uint32) *big.Rat { return big.NewRat(loads.Live(id), int64(t.Backends[id].Weight)) }
			return slices.ContainsFunc(open, func(other uint32) bool { return ratio(other).Cmp(ratio(id)) < 0 })
		})
	case SourceHash, Maglev:
		l := s.selection.rotated
		n := big.NewInt(int64(len(l.slots)))
		at := int(n.Rsh(n.Mul(n, new(big.Int).SetUint64(hash)), 64).Int64())
		for range 4 * len(l.ids) { // farther it is not to be looked for
			if id := l.ids[l.slots[at%len(l.slots)]]; slices.Contains(open, id) {
				return []uint32{id}
			}
			at++
		}
	}
	return open
}

// Whatever connections come and go, a full backend gets none, and of the others one that the
// algorithm may pick.
func TestFullBackendsGetNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SampledFrom(algorithms).Draw(t, "algorithm")
		loads := NewLoads()
		c, p := NewCompiler(loads), NewPicker(rapid.IntRange(0, 5).Draw(t, "worker"), loads)
		n := rapid.IntRange(1, 6).Draw(t, "backends")
		changes := 3
		if a.Hashes() { // a table takes its time
			changes = 1
		}
		for range changes {
			weights := rapid.SliceOfN(rapid.SampledFrom([]uint16{0, 1, 1, 3, 200}), n, n).Draw(t, "weights")
			limits := rapid.SliceOfN(rapid.SampledFrom([]uint32{0, 1, 2, 5, 9}), n, n).Draw(t, "limits")
			spec := limited(a, limits, weights...)
			table := mustCompile(t, c, spec, Facts{})
			s := &table.Services[0]
			for range rapid.IntRange(0, 40).Draw(t, "flows") {
				k := clientKey(rapid.Uint32Range(0, 1<<16).Draw(t, "client"))
				open := openOf(table, &spec, loads)
				id, ok := p.Pick(s, &k)
				if ok != (len(open) > 0) {
					t.Fatalf("pick says %t, and open are %v", ok, open)
				}
				if !ok {
					break
				}
				if may := allowed(table, loads, open, s.hash(&k)); !slices.Contains(may, id) {
					t.Fatalf("%v: picked %d, want one of %v; open are %v", a, id, may, open)
				}
				loads.AddLive(id, 1)
				if rapid.Bool().Draw(t, "established") {
					loads.AddEstablished(id, 1)
				}
				if leaver := rapid.SampledFrom(s.Eligible()).Draw(t, "leaver"); loads.Established(leaver) > 0 && rapid.Bool().Draw(t, "leaves") {
					loads.AddEstablished(leaver, -1)
					loads.AddLive(leaver, -1)
				}
			}
		}
	})
}

// Those that are not full share new flows as they would without the full ones.
func TestOpenBackendsShare(t *testing.T) {
	for a, want := range map[Algorithm][]int{
		RoundRobin: {0, 400, 400, 400}, WeightedRoundRobin: {0, 200, 200, 800}, Weighted: {0, 200, 200, 800},
		TwoChoices: {0, 280, 280, 640}, Maglev: {0, 200, 200, 800},
	} {
		loads := NewLoads()
		spec := limited(a, []uint32{1}, 2, 1, 1, 4)
		s := &mustCompile(t, NewCompiler(loads), spec, Facts{}).Services[0]
		loads.AddLive(0, 1)
		p := NewPicker(0, loads)
		got := picks(t, p, s, 1200)
		for i := range got {
			off := max(got[i], want[i]) - min(got[i], want[i])
			if exact := a == RoundRobin || a == WeightedRoundRobin; exact && off > 0 || a != TwoChoices && off > want[i]/4 || want[i] == 0 && off > 0 {
				t.Errorf("%v: 1200 picks are spread %v, want %v", a, got, want)
				break
			}
		}
		loads.AddLive(0, -1)
		if got := picks(t, p, s, 1200); got[0] == 0 {
			t.Errorf("%v: a backend that is full no more gets nothing", a)
		}
	}
}

// A client of a full backend always finds the same other one, whichever balancer it asks,
// and clients of others stay where they are.
func TestNextChoiceIsConsistent(t *testing.T) {
	for _, a := range []Algorithm{SourceHash, Maglev} {
		loads := NewLoads()
		spec := limited(a, []uint32{0, 3, 0, 0}, 1, 1, 1, 1)
		s := &mustCompile(t, NewCompiler(loads), spec, Facts{}).Services[0]
		one, other := NewPicker(0, loads), NewPicker(3, loads)
		moved := map[uint32]int{}
		for n := range uint32(2000) {
			k := clientKey(n)
			was, _ := one.Pick(s, &k)
			loads.AddLive(1, 3)
			is, _ := one.Pick(s, &k)
			again, _ := other.Pick(s, &k)
			loads.AddLive(1, -3)
			if is != again || was != 1 && is != was || is == 1 {
				t.Fatalf("%v: client %d goes to %d, and to %d and %d while 1 is full", a, n, was, is, again)
			}
			if was == 1 {
				moved[is]++
			}
		}
		for id, n := range moved {
			if total := moved[0] + moved[2] + moved[3]; n < total/5 || total < 300 {
				t.Errorf("%v: of %d clients of the full one, %d went to %d: they are not spread", a, total, n, id)
			}
		}
	}
}

// With nearly all full the walk ends in time, at one that is not.
func TestNextChoiceAmongMany(t *testing.T) {
	const n = 3000
	loads := NewLoads()
	limits := make([]uint32, n)
	for id := range limits {
		limits[id] = 1
		loads.AddLive(uint32(id), 1)
		loads.AddEstablished(uint32(id), 1)
	}
	s := &mustCompile(t, NewCompiler(loads), limited(Maglev, limits, equal(n)...), Facts{}).Services[0]
	p := NewPicker(0, loads)
	k := clientKey(1)
	if id, ok := p.Pick(s, &k); ok {
		t.Errorf("picked %d, and all are full", id)
	}
	loads.AddLive(1234, -1)
	for c := range uint32(300) {
		k := clientKey(c)
		if id, ok := p.Pick(s, &k); !ok || id != 1234 {
			t.Fatalf("picked %d, %t, and only 1234 is not full", id, ok)
		}
	}
}

// Half-open connections fill a backend only as long as another one is left: SYNs with false
// sources keep nobody out.
func TestHalfOpenKeepNobodyOut(t *testing.T) {
	for _, a := range algorithms {
		loads := NewLoads()
		spec := limited(a, []uint32{2, 2}, 1, 1)
		table := mustCompile(t, NewCompiler(loads), spec, Facts{})
		s, p := &table.Services[0], NewPicker(0, loads)
		loads.AddLive(0, 2)
		for n := range uint32(20) {
			k := clientKey(n)
			if id, _ := p.Pick(s, &k); id != 1 {
				t.Fatalf("%v: picked %d, which has two half-open connections of two", a, id)
			}
		}
		loads.AddLive(1, 50)
		loads.AddEstablished(1, 2)
		for n := range uint32(20) {
			k := clientKey(n)
			if id, ok := p.Pick(s, &k); !ok || id != 0 {
				t.Fatalf("%v: picked %d, %t, and 0 has no established connection", a, id, ok)
			}
		}
		if loads.Full(table, 0) || !loads.Full(table, 1) {
			t.Errorf("full are %t and %t, want only the second", loads.Full(table, 0), loads.Full(table, 1))
		}
		loads.AddEstablished(0, 2)
		k := clientKey(0)
		if id, ok := p.Pick(s, &k); ok {
			t.Errorf("%v: picked %d, and all have what they may", a, id)
		}
	}
}

// Over all workers a backend gets as many as it may have, to within one a worker: those that
// decide at the same moment.
func TestMaxConnsOverWorkers(t *testing.T) {
	const workers, limit = 4, 500
	for _, a := range algorithms {
		loads := NewLoads()
		s := &mustCompile(t, NewCompiler(loads), limited(a, []uint32{limit, limit, limit}, 1, 2, 3), Facts{}).Services[0]
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				p := NewPicker(w, loads)
				for n := range uint32(3 * limit) {
					k := clientKey(n*workers + uint32(w))
					if id, ok := p.Pick(s, &k); ok {
						loads.AddLive(id, 1)
						loads.AddEstablished(id, 1)
					}
				}
			})
		}
		all.Wait()
		for id := range uint32(3) {
			if n := loads.Established(id); n < limit || n > limit+workers-1 {
				t.Errorf("%v: backend %d has %d connections of %d", a, id, n, limit)
			}
		}
	}
}
