package balancer

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestRoundRobinIsExact(t *testing.T) {
	s := onlyService(t, webSpec(RoundRobin, 1, 9, 1, 0, 1)) // weights do not matter to it
	for worker := range 6 {
		p := NewPicker(worker, NewLoads())
		if diff := fmt.Sprint(picks(t, p, s, 400)); diff != "[100 100 100 0 100]" {
			t.Errorf("worker %d: 400 picks are %s, want 100 each but at the drained one", worker, diff)
		}
		more := picks(t, p, s, 3)
		if slices.Max(more) > 1 {
			t.Errorf("worker %d: 3 picks more are %v, want different ones", worker, more)
		}
	}
}

// Over all workers together the counts differ by at most one a worker; and since
// workers start at different backends, as many workers as backends with one flow
// each reach them all.
func TestRoundRobinOverWorkers(t *testing.T) {
	const backends, workers = 7, 4
	s := onlyService(t, webSpec(RoundRobin, equal(backends)...))
	for flows := 1; flows < 30; flows++ {
		total := make([]int, backends)
		for w := range workers {
			for id, n := range picks(t, NewPicker(w, NewLoads()), s, flows+w) {
				total[id] += n
			}
		}
		if off := slices.Max(total) - slices.Min(total); off > workers {
			t.Errorf("%d flows a worker: counts %v differ by %d, want at most %d", flows, total, off, workers)
		}
	}
	var first []uint32
	for w := range backends {
		k := clientKey(0)
		id, _ := NewPicker(w, NewLoads()).Pick(s, &k)
		first = append(first, id)
	}
	slices.Sort(first)
	if !slices.Equal(first, sequence(backends)) {
		t.Errorf("the first picks of %d workers are %v, want all backends", backends, first)
	}
}

// The oracle walks the Spec's order from the last pick to the next backend in
// rotation, while weights come, go and drain between picks.
func TestRoundRobinContinues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "backends")
		worker := rapid.IntRange(0, 10).Draw(t, "worker")
		loads := NewLoads()
		c, p := NewCompiler(loads), NewPicker(worker, loads)
		last := -1
		for range 12 {
			spec := webSpec(RoundRobin, rapid.SliceOfN(rapid.Uint16Range(0, 1), n, n).Draw(t, "weights")...)
			table := mustCompile(t, c, spec, Facts{})
			s := &table.Services[0]
			for range rapid.IntRange(0, 5).Draw(t, "picks") {
				k := clientKey(0)
				id, ok := p.Pick(s, &k)
				if !ok {
					break
				}
				want := int(id) // of the very first pick: by the worker's number
				if last < 0 && want != int(s.Eligible()[worker%len(s.Eligible())]) {
					t.Fatalf("worker %d starts at %d of %v", worker, id, s.Eligible())
				}
				if last >= 0 {
					want = (last + 1) % n
					for spec.Services[0].Backends[want].Weight == 0 {
						want = (want + 1) % n
					}
				}
				if int(id) != want {
					t.Fatalf("%d follows %d, want %d of %v", id, last, want, s.Eligible())
				}
				last = want
			}
		}
	})
}

// nginx is the algorithm as its authors explain it.
type nginx struct{ weight, current []int }

func (n *nginx) pick() int {
	total, best := 0, 0
	for i, w := range n.weight {
		n.current[i] += w
		total += w
		if n.current[i] > n.current[best] {
			best = i
		}
	}
	n.current[best] -= total
	return best
}

func TestWeightedRoundRobinAgainstNginx(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Uint16Range(1, 50), 1, 12).Draw(t, "weights")
		worker := rapid.IntRange(0, 12).Draw(t, "worker")
		table := mustCompile(t, NewCompiler(NewLoads()), webSpec(WeightedRoundRobin, weights...), Facts{})
		p := NewPicker(worker, NewLoads())
		model := nginx{current: make([]int, len(weights))}
		period := 0
		for _, w := range weights {
			model.weight = append(model.weight, int(w))
			period += int(w)
		}
		for range worker % len(weights) {
			model.pick() // workers start at different places of the same turn
		}
		counts := make([]int, len(weights))
		for i := range period {
			k := clientKey(0)
			id, _ := p.Pick(&table.Services[0], &k)
			if want := model.pick(); int(id) != want {
				t.Fatalf("pick %d of weights %v is %d, want %d", i, weights, id, want)
			}
			counts[id]++
		}
		if !slices.Equal(counts, model.weight) {
			t.Fatalf("over a period the counts are %v, want the weights %v", counts, weights)
		}
	})
}

// The example of nginx's own commit message: {a, a, b, a, c, a, a}, not
// {a, a, a, a, a, b, c}.
func TestWeightedRoundRobinIsSmooth(t *testing.T) {
	s, p := onlyService(t, webSpec(WeightedRoundRobin, 5, 1, 1)), NewPicker(0, NewLoads())
	got := ""
	for range 14 {
		k := clientKey(0)
		id, _ := p.Pick(s, &k)
		got += string("abc"[id])
	}
	if want := "aabacaaaabacaa"; got != want {
		t.Errorf("weights 5, 1, 1 give %s, want %s", got, want)
	}
}

// A change must not make anybody starve or feast: in every window of picks after it
// each backend has its share to within a few picks. Starting anew at each change,
// or taking over debts from other weights, would not pass.
func TestWeightedRoundRobinAfterChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loads := NewLoads()
		c, p := NewCompiler(loads), NewPicker(0, loads)
		n := rapid.IntRange(2, 6).Draw(t, "backends")
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			weights := rapid.SliceOfN(rapid.SampledFrom([]uint16{0, 1, 2, 5, 1000, 65535}), n, n).Draw(t, "weights")
			table := mustCompile(t, c, webSpec(WeightedRoundRobin, weights...), Facts{})
			s := &table.Services[0]
			total := 0.0
			for _, w := range weights {
				total += float64(w)
			}
			counts := make([]int, n)
			for i := range rapid.IntRange(0, 60).Draw(t, "picks") {
				k := clientKey(0)
				id, ok := p.Pick(s, &k)
				if !ok {
					break
				}
				counts[id]++
				for j, w := range weights {
					if off := float64(counts[j]) - float64(i+1)*float64(w)/total; off > 3 || off < -3 {
						t.Fatalf("weights %v: after %d picks the counts are %v, %.1f off at %d", weights, i+1, counts, off, j)
					}
				}
			}
		}
	})
}

// With a change before each pick the first backends must not get everything.
func TestTurnsUnderConstantChange(t *testing.T) {
	for _, a := range []Algorithm{RoundRobin, WeightedRoundRobin, LeastConn} {
		loads := NewLoads()
		c, p := NewCompiler(loads), NewPicker(0, loads)
		counts := make([]int, 5)
		for i := range 400 {
			s := &mustCompile(t, c, webSpec(a, 3, 1, 1, 1, uint16(i%2)), Facts{}).Services[0]
			k := clientKey(0)
			id, _ := p.Pick(s, &k)
			counts[id]++
		}
		for _, id := range []int{1, 2, 3} {
			if counts[id] < 40 {
				t.Errorf("%v: of 400 picks between changes the counts are %v", a, counts)
				break
			}
		}
	}
}
