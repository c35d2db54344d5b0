package balancer

import (
	"fmt"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// leastOf returns the IDs with the smallest live/weight, as fractions.
func leastOf(s *Service, t *Table, loads *Loads) (least []uint32) {
	var min *big.Rat
	for _, id := range s.Eligible() {
		ratio := big.NewRat(loads.Live(id), int64(t.Backends[id].Weight))
		switch {
		case min == nil || ratio.Cmp(min) < 0:
			min, least = ratio, []uint32{id}
		case ratio.Cmp(min) == 0:
			least = append(least, id)
		}
	}
	return least
}

// The pick is one of the least loaded, and of several the first behind the last.
func TestLeastConn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loads := NewLoads()
		c, p := NewCompiler(loads), NewPicker(0, loads)
		n := rapid.IntRange(1, 8).Draw(t, "backends")
		last := uint32(n) // nobody: at the start the first one is next
		for range 3 {
			weights := rapid.SliceOfN(rapid.SampledFrom([]uint16{0, 1, 1, 2, 3, 65535}), n, n).Draw(t, "weights")
			table := mustCompile(t, c, webSpec(LeastConn, weights...), Facts{})
			s := &table.Services[0]
			for range rapid.IntRange(0, 30).Draw(t, "flows") {
				k := clientKey(0)
				id, ok := p.Pick(s, &k)
				if !ok {
					break
				}
				least := leastOf(s, table, loads)
				want := least[0]
				if i := slices.IndexFunc(least, func(id uint32) bool { return id > last }); last < uint32(n) && i >= 0 {
					want = least[i]
				}
				if id != want {
					t.Fatalf("picked %d after %d, want %d of the least loaded %v", id, last, want, least)
				}
				last = id
				loads.AddLive(id, 1)
				if leaver := rapid.SampledFrom(s.Eligible()).Draw(t, "leaver"); loads.Live(leaver) > 0 && rapid.Bool().Draw(t, "leaves") {
					loads.AddLive(leaver, -1)
				}
			}
		}
	})
}

// Connections that stay end up in proportion to the weights.
func TestLeastConnFillsByWeight(t *testing.T) {
	loads := NewLoads()
	s, p := onlyService(t, webSpec(LeastConn, 1, 2, 5)), NewPicker(0, loads)
	for range 800 {
		k := clientKey(0)
		id, _ := p.Pick(s, &k)
		loads.AddLive(id, 1)
	}
	if got := fmt.Sprint(loads.Live(0), loads.Live(1), loads.Live(2)); got != "100 200 500" {
		t.Errorf("800 connections are spread %s, want 100 200 500", got)
	}
}

// Idle backends get their turn one after the other, also where a connection is
// over before the next one comes.
func TestLeastConnTies(t *testing.T) {
	s, p := onlyService(t, webSpec(LeastConn, 1, 7, 1)), NewPicker(0, NewLoads())
	if got := fmt.Sprint(picks(t, p, s, 300)); got != "[100 100 100]" {
		t.Errorf("300 picks among idle backends are %s, want 100 each", got)
	}
}

// twoChoicesOf computes each backend's exact probability, over all pairs.
func twoChoicesOf(weights []uint16, live []int) []float64 {
	total := 0.0
	for _, w := range weights {
		total += float64(w)
	}
	result := make([]float64, len(weights))
	for i, wi := range weights {
		for j, wj := range weights {
			if i == j || wi == 0 || wj == 0 {
				continue
			}
			chosen := i
			if float64(live[j])/float64(wj) < float64(live[i])/float64(wi) {
				chosen = j
			}
			result[chosen] += float64(wi) / total * float64(wj) / (total - float64(wi))
		}
	}
	return result
}

func TestTwoChoicesDistribution(t *testing.T) {
	for _, test := range []struct {
		weights []uint16
		live    []int
	}{
		{[]uint16{1, 1, 1, 1}, []int{0, 0, 0, 0}},
		{[]uint16{1, 1, 1, 1}, []int{4, 3, 2, 1}},
		{[]uint16{1, 5, 0, 10, 2}, []int{0, 0, 0, 0, 0}},
		{[]uint16{1, 5, 0, 10, 2}, []int{3, 5, 0, 20, 8}},
		{[]uint16{60000, 1}, []int{1, 0}},
		{[]uint16{3, 9}, []int{1, 3}},
	} {
		loads := NewLoads()
		for id, n := range test.live {
			loads.AddLive(uint32(id), n)
		}
		s, p := onlyService(t, webSpec(TwoChoices, test.weights...)), NewPicker(0, loads)
		checkDistribution(t, fmt.Sprintf("weights %v, live %v", test.weights, test.live), picks(t, p, s, 50000), twoChoicesOf(test.weights, test.live))
	}
}

func TestTwoChoicesSingle(t *testing.T) {
	s, p := onlyService(t, webSpec(TwoChoices, 0, 9, 0)), NewPicker(0, NewLoads())
	if got := fmt.Sprint(picks(t, p, s, 50)); got != "[0 50 0]" {
		t.Errorf("50 picks of a single backend are %s", got)
	}
}

// A handicap is as many connections more.
func TestHandicap(t *testing.T) {
	loads := NewLoads()
	s, p := onlyService(t, webSpec(LeastConn, 1, 1, 1)), NewPicker(0, loads)
	loads.AddLive(0, 30)
	loads.AddLive(1, 30)
	loads.SetHandicap(2, 30)
	for range 300 {
		k := clientKey(0)
		id, _ := p.Pick(s, &k)
		loads.AddLive(id, 1)
	}
	if got := fmt.Sprint(loads.Live(0), loads.Live(1), loads.Live(2)); got != "130 130 100" {
		t.Errorf("300 connections beside 30 each and a handicap of 30 are %s, want 130 130 100", got)
	}
	loads.SetHandicap(2, 0)
	for range 30 {
		k := clientKey(0)
		id, _ := p.Pick(s, &k)
		if id != 2 {
			t.Fatalf("picked %d, want what has the fewest for its weight now", id)
		}
		loads.AddLive(id, 1)
	}
}

// However much fewer connections it has, one with a handicap gets at most twice its share,
// never two in a row, and none of the others' turns is lost by it. One that is alone gets
// all.
func TestHandicapBoundsTheShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.SampledFrom([]Algorithm{LeastConn, TwoChoices}).Draw(t, "algorithm")
		weights := rapid.SliceOfN(rapid.Uint16Range(1, 5), 1, 12).Draw(t, "weights")
		loads := NewLoads()
		table := mustCompile(t, NewCompiler(loads), webSpec(a, weights...), Facts{})
		s, p := &table.Services[0], NewPicker(0, loads)
		total := 0
		for id, w := range weights {
			loads.AddLive(uint32(id), 1_000_000)
			total += int(w)
		}
		back := uint32(rapid.IntRange(0, len(weights)-1).Draw(t, "back"))
		loads.AddLive(back, -1_000_000)
		loads.SetHandicap(back, 1)
		const n = 1000
		got, last := 0, uint32(MaxBackends)
		for i := range uint32(n) {
			k := clientKey(i)
			id, ok := p.Pick(s, &k)
			if !ok || id == back && last == back && len(weights) > 1 {
				t.Fatalf("picked %d, %t after %d", id, ok, last)
			}
			if last = id; id == back {
				got++
			}
			loads.AddLive(id, 1)
		}
		share := float64(weights[back]) / float64(total)
		if most := min(2*share, 0.5)*n + 1; len(weights) > 1 && float64(got) > most {
			t.Fatalf("%v: got %d of %d with a share of %.3f", a, got, n, share)
		}
		if a == LeastConn && float64(got) < share*n/2 {
			t.Fatalf("got %d of %d with a share of %.3f: it starves", got, n, share)
		}
		if len(weights) == 1 && got != n {
			t.Fatalf("alone, it got %d of %d", got, n)
		}
	})
}

// One that refuses everybody gets fewer and fewer of them, though it has the least to do;
// as soon as it accepts one it is as good as the others.
func TestRefusals(t *testing.T) {
	for _, a := range []Algorithm{LeastConn, TwoChoices} {
		for _, workers := range []int{1, 4} {
			loads := NewLoads()
			s := onlyService(t, webSpec(a, 1, 1, 1))
			var pickers []*Picker
			for w := range workers {
				pickers = append(pickers, NewPicker(w, loads))
			}
			loads.AddLive(1, 1000)
			loads.AddLive(2, 1000)
			refused := 0
			for i := range uint32(400) {
				k := clientKey(i)
				id, _ := pickers[int(i)%workers].Pick(s, &k)
				if id == 0 {
					refused++
					loads.Refuse(0)
				} else {
					loads.AddLive(id, 1)
				}
			}
			if refused < 5 || refused > 60 { // with none of it: 400, or two thirds
				t.Errorf("%v, %d workers: %d of 400 were refused", a, workers, refused)
			}
			loads.Accept(0)
			got := 0
			for i := range uint32(60) {
				k := clientKey(i)
				if id, _ := pickers[int(i)%workers].Pick(s, &k); id == 0 {
					got++
				}
			}
			if got < 25 || loads.Refused(0) != 0 {
				t.Errorf("%v: after it has accepted one it gets %d of 60", a, got)
			}
		}
	}
}

// If all refuse, none of them is worse than the others.
func TestAllRefuse(t *testing.T) {
	loads := NewLoads()
	s, p := onlyService(t, webSpec(LeastConn, 1, 1, 1)), NewPicker(0, loads)
	counts := [3]int{}
	for i := range uint32(300) {
		k := clientKey(i)
		id, _ := p.Pick(s, &k)
		counts[id]++
		loads.Refuse(id)
	}
	if slices.Min(counts[:]) < 90 {
		t.Errorf("300 picks of three that refuse are %v", counts)
	}
}

// Each number below the total belongs to the backend in whose share it lies.
func TestSumsAt(t *testing.T) {
	weights := []uint32{3, 1, 65535, 2}
	s := selection{sums: newSums(weights)}
	r := uint32(0)
	for i, w := range weights {
		for range w {
			if got := s.at(r); got != i {
				t.Fatalf("number %d is in share %d, want %d", r, got, i)
			}
			r++
		}
	}
}
