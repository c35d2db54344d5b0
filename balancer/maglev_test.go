package balancer

import (
	"fmt"
	"math"
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
		want         []uint32
	}{
		{"three backends", []permutation{b0, b1, b2}, []uint32{1, 0, 1, 0, 2, 2, 0}},
		{"without B1", []permutation{b0, b2}, []uint32{0, 0, 0, 0, 1, 1, 1}},
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
func paperPopulate(names []string, m uint32) []uint32 {
	permutation := make([][]uint32, len(names))
	for i, name := range names {
		p := permute(name, m)
		for j := range m {
			permutation[i] = append(permutation[i], (p.offset+j*p.skip)%m)
		}
	}
	const nobody = ^uint32(0)
	entry := slices.Repeat([]uint32{nobody}, int(m))
	next := make([]int, len(names))
	for n := uint32(0); ; {
		for i := range names {
			c := permutation[i][next[i]]
			for entry[c] != nobody {
				next[i]++
				c = permutation[i][next[i]]
			}
			entry[c] = uint32(i)
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

func TestQuotas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Uint32Range(1, 65535), 1, 300).Draw(t, "weights")
		m := rapid.SampledFrom([]uint32{7, smallSlots, slots}).Draw(t, "m")
		var total, sum int64
		for _, w := range weights {
			total += int64(w)
		}
		got := quotas(weights, m)
		for i, q := range got {
			sum += int64(q)
			// |q - w·m/total| < 1
			if off := int64(q)*total - int64(weights[i])*int64(m); off <= -total || off >= total {
				t.Errorf("weight %d of %d: %d of %d slots is a slot or more off", weights[i], total, q, m)
			}
		}
		if sum != int64(m) {
			t.Errorf("the quotas sum to %d, want %d", sum, m)
		}
		// Who was rounded up had no smaller remainder than anyone rounded down.
		up, down := total, int64(0) // the smallest and the largest of them
		for i, q := range got {
			rest := int64(weights[i]) * int64(m) % total
			if int64(q)*total > int64(weights[i])*int64(m) {
				up = min(up, rest)
			} else {
				down = max(down, rest)
			}
		}
		if up < down {
			t.Errorf("remainder %d was rounded up, %d down, both of %d", up, down, total)
		}
	})
}

// Every backend must have as many turns as its quota, and at any time have had its
// share of the rounds so far, rounded up.
func TestTurns(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		quotas := rapid.SliceOfN(rapid.Uint32Range(0, 50), 1, 20).Draw(t, "quotas")
		quotas[0]++ // all zero cannot be: somebody has a weight
		rounds := slices.Max(quotas)
		var want []uint32
		had := make([]uint32, len(quotas))
		for round := range rounds {
			for i, q := range quotas {
				if share := ((round+1)*q + rounds - 1) / rounds; had[i] < share {
					had[i]++
					want = append(want, uint32(i))
				}
			}
		}
		if got := turns(quotas); !slices.Equal(got, want) {
			t.Errorf("turns(%v) = %v, want %v", quotas, got, want)
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

func TestTableIndependentOfOrder(t *testing.T) {
	names, weights := backendNames(50), ones(50)
	weights[7], weights[30] = 5, 9
	ids := make([]uint32, 50)
	for i := range ids {
		ids[i] = uint32(1000 + i)
	}
	want := consistentTable(names, ids, weights, smallSlots)
	rand.New(rand.NewPCG(3, 4)).Shuffle(50, func(i, j int) {
		names[i], names[j] = names[j], names[i]
		weights[i], weights[j] = weights[j], weights[i]
		ids[i], ids[j] = ids[j], ids[i]
	})
	if !slices.Equal(consistentTable(names, ids, weights, smallSlots), want) {
		t.Error("the same backends in another order give another table")
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
		ids := slices.Delete(sequence(400), gone, gone+1)
		n := movedSlots(full, consistentTable(without, ids, ones(399), slots), gone)
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
	return consistentTable(names, sequence(len(names)), weights, slots)
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

func BenchmarkConsistentTable(b *testing.B) {
	for _, n := range []int{10, 100, 1000} {
		names, ids, weights := backendNames(n), sequence(n), ones(n)
		b.Run(fmt.Sprintf("backends=%d", n), func(b *testing.B) {
			for b.Loop() {
				consistentTable(names, ids, weights, slots)
			}
		})
	}
}
