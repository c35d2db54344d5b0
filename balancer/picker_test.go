package balancer

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// picks returns how often each of the service's backends is picked in n picks of
// different clients, by backend ID.
func picks(t testing.TB, p *Picker, s *Service, n int) []int {
	t.Helper()
	counts := make([]int, len(s.Backends))
	for i := range n {
		k := clientKey(uint32(i))
		id, ok := p.Pick(s, &k)
		if !ok {
			t.Fatal("no backend")
		}
		counts[id]++
	}
	return counts
}

func TestPickNobody(t *testing.T) {
	for _, a := range algorithms {
		for _, weights := range [][]uint16{nil, {0}, {0, 0, 0}} {
			k := clientKey(1)
			if id, ok := NewPicker(0, NewLoads()).Pick(onlyService(t, webSpec(a, weights...)), &k); ok {
				t.Errorf("%v: picked %d of the weights %v", a, id, weights)
			}
		}
	}
}

// Whatever happens to a service, no pick goes to a backend that is not eligible,
// and with a single one all go there. The other algorithms pick by Consistent.
func TestPickEligibleOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SampledFrom(algorithms[:5]).Draw(t, "algorithm")
		loads := NewLoads()
		c, p := NewCompiler(loads), NewPicker(rapid.IntRange(0, 5).Draw(t, "worker"), loads)
		for range 5 {
			spec := webSpec(a, rapid.SliceOfN(rapid.SampledFrom([]uint16{0, 0, 1, 2, 65535}), 0, 6).Draw(t, "weights")...)
			table := mustCompile(t, c, spec, Facts{})
			s := &table.Services[0]
			for i := range uint32(10) {
				k := clientKey(i)
				id, ok := p.Pick(s, &k)
				if ok != (len(s.Eligible()) > 0) {
					t.Fatalf("pick says %t with %d backends in rotation", ok, len(s.Eligible()))
				}
				if !ok {
					break
				}
				if b := table.Backends[id]; b.Weight == 0 || b.Flags != Present|Usable|Up|HasMAC {
					t.Fatalf("picked %+v", b)
				}
				loads.AddLive(id, 1)
			}
		}
	})
}

func TestPickByConsistent(t *testing.T) {
	for _, a := range []Algorithm{SourceHash, Maglev} {
		s, p := onlyService(t, webSpec(a, 1, 0, 2, 3)), NewPicker(0, NewLoads())
		for n := range uint32(1000) {
			k := clientKey(n)
			got, ok1 := p.Pick(s, &k)
			want, ok2 := s.Consistent(&k)
			if got != want || !ok1 || !ok2 || got == 1 {
				t.Fatalf("%v: picked %d, %t; want %d, %t, and never the drained one", a, got, ok1, want, ok2)
			}
		}
	}
}

// A picker must not mistake one compiler's selection for another's.
func TestPickFromTwoCompilers(t *testing.T) {
	for _, a := range []Algorithm{RoundRobin, LeastConn} {
		p, k := NewPicker(0, NewLoads()), clientKey(0)
		for range 4 {
			p.Pick(onlyService(t, webSpec(a, 1, 1, 1, 1, 1)), &k)
			if id, ok := p.Pick(onlyService(t, webSpec(a, 1)), &k); !ok || id != 0 {
				t.Fatalf("%v: picked %d, %t of a single backend 0", a, id, ok)
			}
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, a := range algorithms {
		c, p := NewCompiler(NewLoads()), NewPicker(1, NewLoads())
		services := make([]*Service, 2)
		for i := range services { // both of one name: the picker meets a change at each pick
			services[i] = &mustCompile(t, c, webSpec(a, 1, 2, 3, uint16(i)), Facts{}).Services[0]
		}
		i, k := uint32(0), clientKey(0)
		if n := testing.AllocsPerRun(1000, func() { p.Pick(services[i%2], &k); i++ }); n != 0 {
			t.Errorf("%v: a pick allocates %v times", a, n)
		}
	}
}

// Workers share nothing but tables and loads. The race detector has the say.
func TestPickConcurrently(t *testing.T) {
	loads := NewLoads()
	c := NewCompiler(loads)
	var spec Spec
	for i, a := range algorithms {
		s := webSpec(a, 1, 2, 3).Services[0]
		s.Name, s.First, s.Last = a.String(), uint16(80+i), uint16(80+i)
		spec.Services = append(spec.Services, s)
	}
	table := mustCompile(t, c, spec, Facts{})
	var workers sync.WaitGroup
	for w := range 3 {
		workers.Go(func() {
			p := NewPicker(w, loads)
			for i := range uint32(500) {
				k := clientKey(i)
				k.DstPort = uint16(80 + i%7)
				if id, ok := p.Pick(table.Lookup(&k), &k); ok {
					loads.AddLive(id, 1)
					loads.AddFlows(id, 1)
				}
			}
		})
	}
	workers.Go(func() {
		for range 20 {
			spec.Services[0].Backends[0].Weight++
			mustCompile(t, c, spec, Facts{})
		}
	})
	workers.Wait()
}

func TestWorkersDifferAndRunsDoNot(t *testing.T) {
	s := onlyService(t, webSpec(Weighted, equal(100)...))
	sequence := func(worker int) (ids string) {
		p := NewPicker(worker, NewLoads())
		for range 20 {
			k := clientKey(0)
			id, _ := p.Pick(s, &k)
			ids += fmt.Sprint(id, " ")
		}
		return ids
	}
	if again := sequence(0); again != sequence(0) {
		t.Error("a worker's random choices differ from run to run")
	}
	for w := 1; w < 10; w++ {
		if sequence(w) == sequence(w-1) {
			t.Errorf("workers %d and %d make the same random choices", w-1, w)
		}
	}
}

func TestBelow(t *testing.T) {
	p := NewPicker(0, NewLoads())
	for _, n := range []uint32{1, 2, 3, 10} {
		counts, probabilities := make([]int, n), make([]float64, n)
		for i := range probabilities {
			probabilities[i] = 1 / float64(n)
		}
		for range 20000 {
			counts[p.below(n)]++
		}
		checkDistribution(t, fmt.Sprint("numbers below ", n), counts, probabilities)
	}
	for range 1000 {
		if r := p.below(1 << 31); r >= 1<<31 {
			t.Fatalf("%d is not below 2^31", r)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{10, 400} {
		random := rand.New(rand.NewPCG(1, 1))
		weights := make([]uint16, n)
		for i := range weights {
			weights[i] = uint16(1 + random.IntN(10))
		}
		for _, a := range algorithms {
			b.Run(fmt.Sprintf("%v/backends=%d", a, n), func(b *testing.B) {
				loads := NewLoads()
				s, p := onlyService(b, webSpec(a, weights...)), NewPicker(0, loads)
				k := clientKey(0)
				b.ReportAllocs()
				for b.Loop() {
					k.SrcPort++
					id, _ := p.Pick(s, &k)
					loads.AddLive(id, 1)
				}
			})
		}
	}
}
