package balancer

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Maglev hashing: Eisenbud et al., "Maglev: A Fast and Reliable Software Network
// Load Balancer", NSDI 2016, section 3.4. Each backend has its own permutation of
// the slots; they take turns, and at its turn a backend claims the first slot of
// its permutation that is still free. So the slots are shared out exactly, and
// since each backend's preferences stay the same, few slots change their owner
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

// permute returns the permutation of m slots for a backend's name. Of xxHash64
// (seed 0) of the name, the upper half gives the offset and the lower half the
// skip. This must never change: it is what makes balancers agree.
func permute(name string, m uint32) permutation {
	h := xxhash.Sum64String(name)
	return permutation{offset: uint32(h>>32) % m, skip: uint32(h)%(m-1) + 1}
}

// quotas shares out m slots by weight, to within a slot of the exact shares: by
// the largest remainder, and where remainders are equal to the first.
func quotas(weights []uint32, m uint32) []uint32 {
	var total uint64
	for _, w := range weights {
		total += uint64(w)
	}
	shares := make([]uint32, len(weights))
	rests := make([]uint64, len(weights))
	order := make([]int, len(weights))
	left := m
	for i, w := range weights {
		ideal := uint64(w) * uint64(m)
		shares[i], rests[i], order[i] = uint32(ideal/total), ideal%total, i
		left -= shares[i]
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
func turns(quotas []uint32) []uint32 {
	rounds := uint64(slices.Max(quotas))
	start := make([]uint32, rounds+1) // of each round's turns; a counting sort
	each := func(do func(backend int, round uint64)) {
		for i, q := range quotas {
			for k := range uint64(q) {
				do(i, k*rounds/uint64(q))
			}
		}
	}
	each(func(_ int, round uint64) { start[round+1]++ })
	for r := range rounds {
		start[r+1] += start[r]
	}
	order := make([]uint32, start[rounds])
	each(func(i int, round uint64) {
		order[start[round]] = uint32(i)
		start[round]++
	})
	return order
}

// populate gives each slot its owner, by the paper's algorithm. The quotas' sum
// is the number of slots.
func populate(permutations []permutation, quotas []uint32) []uint32 {
	order := turns(quotas)
	m := uint32(len(order))
	owners := make([]uint32, m)
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

// consistentTable returns the backend ID of each of m slots. The result depends
// on names and weights alone, not on the order of the backends or their IDs.
func consistentTable(names []string, ids []uint32, weights []uint32, m uint32) []uint16 {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(names[i], names[j]) })
	permutations := make([]permutation, len(names))
	sorted := make([]uint32, len(names))
	for place, i := range order {
		permutations[place], sorted[place] = permute(names[i], m), weights[i]
	}
	table := make([]uint16, m)
	for slot, place := range populate(permutations, quotas(sorted, m)) {
		table[slot] = uint16(ids[order[place]])
	}
	return table
}
