package balancer

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// ramped compiles webSpec while its first backend has so many steps of its ramp.
func ramped(t tester, c *Compiler, spec Spec, steps uint8) *Table {
	return mustCompile(t, c, spec, Facts{Ramps: map[BackendKey]uint8{spec.key(t, "web", "b0"): steps}})
}

// A backend on its way up gets that part of its share, by every algorithm that goes by turn,
// chance or hash.
func TestRampedShare(t *testing.T) {
	for _, a := range []Algorithm{RoundRobin, WeightedRoundRobin, Weighted, SourceHash, Maglev} {
		loads := NewLoads()
		c, p := NewCompiler(loads), NewPicker(0, loads)
		for _, steps := range []uint8{1, 2, 10, 19, RampSteps} {
			s := &ramped(t, c, webSpec(a, equal(3)...), steps).Services[0]
			const n = 12_000
			part := float64(steps) / RampSteps
			got, want := picks(t, p, s, n)[0], int(n*part/(2+part))
			slack := 50 // of a turn that a change cuts short
			if a == Weighted || a.Hashes() {
				slack = want/10 + 100
			}
			if got < want-slack || got > want+slack {
				t.Errorf("%v: at %d of %d steps it gets %d of %d flows, want %d", a, steps, RampSteps, got, n, want)
			}
		}
	}
}

// Round-robin's turn goes on where it was before and after a ramp.
func TestRoundRobinAfterARamp(t *testing.T) {
	loads := NewLoads()
	c, p := NewCompiler(loads), NewPicker(0, loads)
	spec := webSpec(RoundRobin, 9, 1, 1)
	picks(t, p, &ramped(t, c, spec, RampSteps/2).Services[0], 7)
	if got := fmt.Sprint(picks(t, p, &ramped(t, c, spec, RampSteps).Services[0], 300)); got != "[100 100 100]" {
		t.Errorf("after the ramp 300 picks are %s, want 100 each", got)
	}
}

// By load, too, it gets twice its part of what comes at most, though it has nothing to do
// and the others have much; and in the end it has its share.
func TestRampedByLoad(t *testing.T) {
	for _, a := range []Algorithm{LeastConn, TwoChoices} {
		loads := NewLoads()
		c, p := NewCompiler(loads), NewPicker(0, loads)
		loads.AddLive(1, 5000)
		loads.AddLive(2, 5000)
		for steps := uint8(1); steps < RampSteps; steps++ {
			s := &ramped(t, c, webSpec(a, equal(3)...), steps).Services[0]
			before := loads.Live(0)
			run, longest := 0, 0
			const n = 400
			for i := range uint32(n) {
				k := clientKey(i)
				id, _ := p.Pick(s, &k)
				loads.AddLive(id, 1)
				if run++; id != 0 {
					run = 0
				}
				longest = max(longest, run)
			}
			part := float64(steps) / RampSteps
			if got, most := loads.Live(0)-before, int64(2*part/(2+part)*n)+2; got > most || longest > 1 {
				t.Errorf("%v: at %d steps it got %d of %d, %d in a row; want %d at most, and none", a, steps, got, n, longest, most)
			}
		}
		if loads.Live(0) == 0 {
			t.Errorf("%v: it got nothing at all", a)
		}
	}
}

// Weights add up whatever they are, nobody in rotation has none, and whoever has half a ramp
// has half of what its weight gives, where weights are not at their limit.
func TestRampedWeights(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) part {
			return part{
				weight:   rapid.SampledFrom([]uint16{0, 1, 2, 300, 65535}).Draw(t, "weight"),
				ramp:     rapid.Uint8Range(1, RampSteps).Draw(t, "ramp"),
				standing: rapid.SampledFrom([]standing{out, ready, ready}).Draw(t, "standing"),
			}
		}), 1, 9).Draw(t, "parts")
		n := &selection{algorithm: rapid.SampledFrom(algorithms).Draw(t, "algorithm"), parts: parts}
		n.weigh()
		rotating := slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return !p.rotates() })
		ramping := slices.ContainsFunc(rotating, func(p part) bool { return p.ramp < RampSteps })
		sum := uint64(0)
		for i, p := range rotating {
			want := uint32(p.weight)
			if ramping {
				if n.algorithm == RoundRobin {
					want = 1
				}
				want *= uint32(p.ramp)
			}
			if n.weights[i] != want {
				t.Fatalf("weights %v of %+v", n.weights, rotating)
			}
			sum += uint64(n.weights[i])
		}
		if len(n.weights) != len(rotating) || uint64(n.total) != sum || (n.ramping != nil) != ramping {
			t.Fatalf("weights %v, sum %d, ramping %v of %+v", n.weights, n.total, n.ramping, rotating)
		}
	})
}

// The largest service with the largest weights has sums that fit.
func TestRampedWeightsAtTheLimit(t *testing.T) {
	n := &selection{algorithm: Weighted, parts: make([]part, MaxBackends)}
	for i := range n.parts {
		n.parts[i] = part{weight: 65535, ramp: RampSteps, standing: ready}
	}
	n.parts[7].ramp, n.parts[8].weight = 10, 1
	n.weigh()
	if n.weights[7] != 32767 || n.weights[8] != 1 || n.weights[0] != 65535 {
		t.Errorf("weights %v, want half, least and all", []uint32{n.weights[7], n.weights[8], n.weights[0]})
	}
}

// What nobody remembers goes by the weights, not by how far a backend has come: other
// balancers know nothing of this one's ramps.
func TestRampLeavesMidstream(t *testing.T) {
	c := NewCompiler(NewLoads())
	spec := webSpec(RoundRobin, equal(5)...)
	full, half := ramped(t, c, spec, RampSteps), ramped(t, c, spec, 1)
	for n := range uint32(1000) {
		k := clientKey(n)
		one, _ := full.Services[0].Consistent(&k)
		if other, _ := half.Services[0].Consistent(&k); one != other {
			t.Fatalf("client %d goes to %d, and to %d during a ramp", n, one, other)
		}
	}
}
