package balancer

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The paper's table 1, before and after backend 1 was removed.
func TestPopulatePaper(t *testing.T) {
	b0, b1, b2 := permutation{3, 4}, permutation{0, 2}, permutation{3, 1}
	for _, test := range []struct {
		name         string
		permutations []permutation
		want         []uint16
	}{
		{"three backends", []permutation{b0, b1, b2}, []uint16{1, 0, 1, 0, 2, 2, 0}},
		{"without B1", []permutation{b0, b2}, []uint16{0, 0, 0, 0, 1, 1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			weights := make([]uint32, len(test.permutations))
			for i := range weights {
				weights[i] = 1
			}
			got := populate(test.permutations, quotas(weights, 7))
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("owners of the slots (-want +got):\n%s", diff)
			}
		})
	}
}

// The permutations of the paper's table 1 follow from these offsets and skips.
func TestPermutationPaper(t *testing.T) {
	for _, test := range []struct {
		p    permutation
		want []uint32
	}{
		{permutation{3, 4}, []uint32{3, 0, 4, 1, 5, 2, 6}},
		{permutation{0, 2}, []uint32{0, 2, 4, 6, 1, 3, 5}},
		{permutation{3, 1}, []uint32{3, 4, 5, 6, 0, 1, 2}},
	} {
		var got []uint32
		for j := range uint32(7) {
			got = append(got, (test.p.offset+j*test.p.skip)%7)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v gives %v, want %v", test.p, got, test.want)
		}
	}
}

// paperPopulate is the pseudocode of the paper's figure "POPULATE", line by line,
// with the permutations written out.
func paperPopulate(names []string, m uint32) []uint16 {
	permutation := make([][]uint32, len(names))
	for i, name := range names {
		p := permute(name, m)
		for j := range m {
			permutation[i] = append(permutation[i], (p.offset+j*p.skip)%m)
		}
	}
	const nobody = ^uint16(0)
	entry := slices.Repeat([]uint16{nobody}, int(m))
	next := make([]int, len(names))
	for n := uint32(0); ; {
		for i := range names {
			c := permutation[i][next[i]]
			for entry[c] != nobody {
				next[i]++
				c = permutation[i][next[i]]
			}
			entry[c] = uint16(i)
			next[i]++
			if n++; n == m {
				return entry
			}
		}
	}
}

func TestPopulateAgainstPseudocode(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 40, 250} {
		names := backendNames(n)
		permutations := make([]permutation, n)
		for i, name := range names {
			permutations[i] = permute(name, 251)
		}
		if got, want := populate(permutations, quotas(ones(n), 251)), paperPopulate(names, 251); !slices.Equal(got, want) {
			t.Errorf("%d backends: owners differ from the paper's pseudocode:\n got %v\nwant %v", n, got, want)
		}
	}
}

// A change here would make balancers of different versions disagree. The hashes
// are those of the xxHash specification's own test program.
func TestPermuteNeverChanges(t *testing.T) {
	for name, hash := range map[string]uint64{"": 0xef46db3751d8e999, "a": 0xd24ec4f1a98c6e5b} {
		for _, m := range []uint32{smallSlots, slots} {
			want := permutation{offset: uint32(hash>>32) % m, skip: 1 + uint32(hash)%(m-1)}
			if got := permute(name, m); got != want {
				t.Errorf("permute(%q, %d) = %+v, want %+v", name, m, got, want)
			}
		}
	}
}

// slowQuotas is the contract of quotas in other words: nobody has less than a slot; who
// would have goes first where slots are left over, and if that is not enough the others
// share what they leave.
func slowQuotas(weights []uint32, m uint32) []uint32 {
	got := make([]uint32, len(weights))
	settled := make([]bool, len(weights)) // at one slot
	for {
		total, free := new(big.Int), int64(m)
		for i, w := range weights {
			if settled[i] {
				free--
			} else {
				total.Add(total, big.NewInt(int64(w)))
			}
		}
		type claim struct {
			index int
			rest  *big.Int
		}
		var claims []claim
		left, small := free, int64(0)
		for i, w := range weights {
			if settled[i] {
				continue
			}
			q, rest := new(big.Int).QuoRem(new(big.Int).Mul(big.NewInt(int64(w)), big.NewInt(free)), total, new(big.Int))
			got[i] = uint32(q.Int64())
			left -= q.Int64()
			if got[i] == 0 {
				rest.Set(total) // larger than any
				small++
			}
			claims = append(claims, claim{i, rest})
		}
		if small <= left {
			slices.SortStableFunc(claims, func(a, b claim) int { return b.rest.Cmp(a.rest) })
			for _, c := range claims[:left] {
				got[c.index]++
			}
			return got
		}
		for i := range weights {
			if !settled[i] && got[i] == 0 {
				got[i], settled[i] = 1, true
			}
		}
	}
}

func TestQuotas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom([]uint32{7, 251, smallSlots, slots}).Draw(t, "m")
		weight := rapid.OneOf(rapid.Uint32Range(1, 65535), rapid.Uint32Range(1, 3), rapid.Just(uint32(65535)))
		weights := rapid.SliceOfN(weight, 1, int(min(m, 300))).Draw(t, "weights")
		got := quotas(weights, m)
		if want := slowQuotas(weights, m); !slices.Equal(got, want) {
			t.Fatalf("quotas(%v, %d) = %v, want %v", weights, m, got, want)
		}
		var total, sum, small, floors int64
		for i, w := range weights {
			total, sum = total+int64(w), sum+int64(got[i])
		}
		if sum != int64(m) || slices.Min(got) == 0 {
			t.Fatalf("the quotas %v sum to %d, want %d and none 0", got, sum, m)
		}
		for _, w := range weights {
			floor := int64(w) * int64(m) / total
			floors += floor
			if floor == 0 {
				small++
			}
		}
		if small > int64(m)-floors {
			return // not everybody can be within a slot
		}
		for i, q := range got {
			// |q - w·m/total| < 1
			if off := int64(q)*total - int64(weights[i])*int64(m); off <= -total || off >= total {
				t.Errorf("weight %d of %d: %d of %d slots is a slot or more off", weights[i], total, q, m)
			}
		}
	})
}

func TestQuotasOfSmallShares(t *testing.T) {
	for _, test := range []struct {
		name    string
		weights []uint32
		m       uint32
		want    []uint32
	}{
		{"one beside a large one", []uint32{65535, 1}, smallSlots, []uint32{4092, 1}},
		{"more than are left over", []uint32{1, 65535, 1, 1}, smallSlots, []uint32{1, 4090, 1, 1}},
		{"left over by two large ones", []uint32{3000, 1, 5000, 1}, 7, []uint32{2, 1, 3, 1}},
		{"equal", []uint32{5, 5, 5}, 7, []uint32{3, 2, 2}},
		{"a slot each", []uint32{1, 9, 1, 65535, 1, 1, 1}, 7, []uint32{1, 1, 1, 1, 1, 1, 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := quotas(test.weights, test.m); !slices.Equal(got, test.want) {
				t.Errorf("quotas(%v, %d) = %v, want %v", test.weights, test.m, got, test.want)
			}
		})
	}
}

// The most backends that there can be, with the most uneven weights.
func TestQuotasLargest(t *testing.T) {
	weights := ones(MaxBackends)
	weights[7] = 65535
	got := quotas(weights, slots)
	if got[7] != 2 || slices.Min(got) != 1 {
		t.Errorf("the large one of %d has %d slots, want 2, and the smallest %d, want 1", MaxBackends, got[7], slices.Min(got))
	}
}

// slowTurns lets everybody have, at any time, their share of the rounds so far, rounded
// up; so each has as many turns as its quota.
func slowTurns(quotas []uint32) (order []uint16) {
	rounds := uint64(slices.Max(quotas))
	had := make([]uint64, len(quotas))
	for round := range rounds {
		for i, q := range quotas {
			if share := ((round+1)*uint64(q) + rounds - 1) / rounds; had[i] < share {
				had[i]++
				order = append(order, uint16(i))
			}
		}
	}
	return order
}

func TestTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		low := rapid.Uint32Range(0, 50).Draw(t, "low")
		high := low + rapid.SampledFrom([]uint32{0, 1, 2, 50}).Draw(t, "more")
		quotas := rapid.SliceOfN(rapid.Uint32Range(low, high), 1, 20).Draw(t, "quotas")
		quotas[0] = max(quotas[0], 1) // all zero cannot be: somebody has a weight
		if got, want := turns(quotas), slowTurns(quotas); !slices.Equal(got, want) {
			t.Errorf("turns(%v) = %v, want %v", quotas, got, want)
		}
	})
}

// slowPopulate gives each turn the first slot of the backend's permutation that nobody
// has, looking from the beginning each time.
func slowPopulate(permutations []permutation, quotas []uint32) []uint16 {
	const nobody = ^uint16(0)
	order := slowTurns(quotas)
	m := uint64(len(order))
	owners := slices.Repeat([]uint16{nobody}, len(order))
	for _, i := range order {
		for j := uint64(0); ; j++ {
			if slot := (uint64(permutations[i].offset) + j*uint64(permutations[i].skip)) % m; owners[slot] == nobody {
				owners[slot] = i
				break
			}
		}
	}
	return owners
}

// Whatever the weights: the same seeds give the same table as the slow way.
func TestPopulateAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom([]uint32{7, 251, 1009}).Draw(t, "m")
		weight := rapid.OneOf(rapid.Just(uint32(1)), rapid.Uint32Range(1, 65535))
		weights := rapid.SliceOfN(weight, 1, int(min(m, 20))).Draw(t, "weights")
		permutations := make([]permutation, len(weights))
		for i := range permutations {
			permutations[i] = permute(fmt.Sprint("10.0.0.", i), m)
		}
		shares := quotas(weights, m)
		if got, want := populate(permutations, shares), slowPopulate(permutations, shares); !slices.Equal(got, want) {
			t.Errorf("weights %v, %d slots: the table is %v, want %v", weights, m, got, want)
		}
	})
}

func TestTableSpread(t *testing.T) {
	counts := count(tableOf(backendNames(400), ones(400)))
	low, high := slices.Min(counts), slices.Max(counts)
	if high-low > 1 {
		t.Errorf("400 equal backends have between %d and %d slots of %d, want a difference of at most 1", low, high, slots)
	}
}

func TestTableWeights(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		weights := make([]uint32, 1+random.IntN(400))
		total := 0
		for i := range weights {
			weights[i] = 1 + random.Uint32N(1<<random.UintN(16))
			total += int(weights[i])
		}
		for i, n := range count(tableOf(backendNames(len(weights)), weights)) {
			if ideal := float64(weights[i]) * slots / float64(total); math.Abs(float64(n)-ideal) >= 1 {
				t.Errorf("weight %d of %d has %d slots, want %.2f to within one", weights[i], total, n, ideal)
			}
		}
	}
}

// How many slots change their owner although their backend neither came nor went.
func TestTableDisruption(t *testing.T) {
	names := backendNames(401)
	full, more := tableOf(names[:400], ones(400)), tableOf(names, ones(401))
	var sum float64
	removals := 0
	for gone := 0; gone < 400; gone += 37 {
		without := slices.Delete(slices.Clone(names[:400]), gone, gone+1)
		after := tableOf(without, ones(399))
		for slot, i := range after {
			if int(i) >= gone {
				after[slot]++ // its number with all of them
			}
		}
		n := movedSlots(full, after, gone)
		sum += float64(n) / float64(slots-count(full)[gone])
		removals++
	}
	average := sum / float64(removals)
	t.Logf("400 backends: removing one moves %.3f%% of the other slots, adding one moves %.3f%%",
		100*average, 100*float64(movedSlots(more, full, 400))/slots)
	if average >= 0.01 {
		t.Errorf("removing a backend moves %.2f%% of the slots that were not its own, want under 1%%", 100*average)
	}
}

// movedSlots counts the slots that differ, without those that belonged to backend
// gone before.
func movedSlots(before, after []uint16, gone int) (n int) {
	for slot, id := range before {
		if id != uint16(gone) && after[slot] != id {
			n++
		}
	}
	return n
}

func tableOf(names []string, weights []uint32) []uint16 {
	permutations := make([]permutation, len(names))
	for i, name := range names {
		permutations[i] = permute(name, slots)
	}
	return populate(permutations, quotas(weights, slots))
}

func count(table []uint16) []int {
	counts := make([]int, slices.Max(table)+1)
	for _, id := range table {
		counts[id]++
	}
	return counts
}

func backendNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("backend-%d", i)
	}
	return names
}

func sequence(n int) []uint32 {
	s := make([]uint32, n)
	for i := range s {
		s[i] = uint32(i)
	}
	return s
}

func ones(n int) []uint32 { return slices.Repeat([]uint32{1}, n) }

func BenchmarkPopulate(b *testing.B) {
	for _, n := range []int{20, 100, 1000} {
		names, weights := backendNames(n), ones(n)
		b.Run(fmt.Sprintf("backends=%d", n), func(b *testing.B) {
			for b.Loop() {
				tableOf(names, weights)
			}
		})
		for i := range weights {
			weights[i] += uint32(i) % 7
		}
		b.Run(fmt.Sprintf("backends=%d/weighted", n), func(b *testing.B) {
			for b.Loop() {
				tableOf(names, weights)
			}
		})
	}
}
