package balancer

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Maglev hashing: Eisenbud et al., "Maglev: A Fast and Reliable Software Network
// Load Balancer", NSDI 2016, section 3.4. Each backend has its own permutation of
// the slots of a lookup table; they take turns, and at its turn a backend claims the
// first slot of its permutation that is still free. So the slots are shared out exactly,
// and since each backend's preferences stay the same, few slots change their owner
// when a backend comes or goes.

// Table sizes, primes as the permutations need them.
const (
	slots      = 65537
	smallSlots = 4093
	// A table is small where it only serves packets without a flow, and a
	// backend still gets this many slots of it.
	slotsPerBackend = 100
)

// permutation is a backend's order of preference: offset, offset+skip,
// offset+2·skip and so on, modulo the number of slots.
type permutation struct {
	offset, skip uint32
}

// permute returns the permutation of m slots for a backend's seed. Of xxHash64
// (seed 0) of it, the upper half gives the offset and the lower half the
// skip. This must never change: it is what makes balancers agree.
func permute(seed string, m uint32) permutation {
	h := xxhash.Sum64String(seed)
	return permutation{offset: uint32(h>>32) % m, skip: uint32(h)%(m-1) + 1}
}

// quotas shares out m slots by weight, to within a slot of the exact shares and none
// without a slot: what rounding down leaves over goes to those whose share is below one,
// then by the largest remainder, and where remainders are equal to the first. Where it
// is not enough for the former, they have a slot each all the same, and the others share
// what these leave. There are at least as many slots as weights.
func quotas(weights []uint32, m uint32) []uint32 {
	var total uint64
	for _, w := range weights {
		total += uint64(w)
	}
	shares := make([]uint32, len(weights))
	rests := make([]uint64, len(weights))
	order := make([]int, len(weights))
	left := m
	var some []int     // indexes of those with a slot or more
	var large []uint32 // their weights
	for i, w := range weights {
		exact := uint64(w) * uint64(m)
		shares[i], rests[i], order[i] = uint32(exact/total), exact%total, i
		left -= shares[i]
		if shares[i] > 0 {
			some, large = append(some, i), append(large, w)
		} else {
			rests[i] = total // first in the order
		}
	}
	if small := uint32(len(weights) - len(some)); small > left {
		for i := range shares {
			shares[i] = 1
		}
		for j, share := range quotas(large, m-small) {
			shares[some[j]] = share
		}
		return shares
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(rests[j], rests[i]) })
	for _, i := range order[:left] {
		shares[i]++
	}
	return shares
}

// turns returns the order in which backends claim slots, as many times as their
// quotas say. There are as many rounds as the largest quota has slots: who has it
// takes a turn in each round, others in a share of the rounds, evenly spaced. For
// equal quotas that is the paper's order. Otherwise it lets everybody have early
// and late picks in the same proportion, which keeps slots in place when quotas
// change.
func turns(quotas []uint32) []uint16 {
	rounds := slices.Max(quotas)
	if slices.Min(quotas)+1 >= rounds {
		return equalTurns(quotas, rounds)
	}
	start := make([]uint32, rounds+1) // of each round's turns; a counting sort
	each := func(do func(backend int, round uint32)) {
		for i, q := range quotas {
			if q == 0 {
				continue
			}
			// Turn k is in round k·rounds/q, here without a division for each.
			step, rest := rounds/q, rounds%q
			round, excess := uint32(0), uint32(0)
			for range q {
				do(i, round)
				round += step
				if excess += rest; excess >= q {
					round, excess = round+1, excess-q
				}
			}
		}
	}
	each(func(_ int, round uint32) { start[round+1]++ })
	for r := range rounds {
		start[r+1] += start[r]
	}
	order := make([]uint16, start[rounds])
	each(func(i int, round uint32) {
		order[start[round]] = uint16(i)
		start[round]++
	})
	return order
}

// equalTurns is turns for quotas that are equal to within a slot, as they are for equal
// weights: everybody has a turn in every round but the last, which is for the larger
// ones.
func equalTurns(quotas []uint32, rounds uint32) []uint16 {
	order := make([]uint16, 0, int(rounds)*len(quotas))
	for range rounds - 1 {
		for i := range quotas {
			order = append(order, uint16(i))
		}
	}
	for i, q := range quotas {
		if q == rounds {
			order = append(order, uint16(i))
		}
	}
	return order
}

// populate gives each slot its owner, by the paper's algorithm. The quotas' sum
// is the number of slots.
func populate(permutations []permutation, quotas []uint32) []uint16 {
	order := turns(quotas)
	m := uint32(len(order))
	owners := make([]uint16, m)
	taken := make([]uint64, (m+63)/64) // one bit a slot: stays in the L1 cache
	next := slices.Clone(permutations)
	for _, i := range order {
		p := &next[i]
		slot := p.offset
		for taken[slot/64]&(1<<(slot%64)) != 0 {
			if slot += p.skip; slot >= m {
				slot -= m
			}
		}
		taken[slot/64] |= 1 << (slot % 64)
		owners[slot] = i
		p.offset = slot // the next turn starts here, and finds it taken
	}
	return owners
}
