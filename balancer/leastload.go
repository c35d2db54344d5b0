package balancer

import "slices"

// burden is a backend's live connections and what they are to be measured by.
type burden struct {
	live   int64
	weight int64
}

func (p *Picker) burden(s *selection, i int) burden {
	return burden{live: p.loads.Live(s.ids[i]), weight: int64(s.weights[i])}
}

// less reports whether a has fewer connections for its weight than b: a fraction
// compared to another, without a division.
func (a burden) less(b burden) bool { return a.live*b.weight < b.live*a.weight }

// leastConn picks the backend with the fewest live connections for its weight.
// Equal ones get their turn one after the other.
func (p *Picker) leastConn(s *Service) uint32 {
	t, ids := p.turn(s), s.selection.ids
	best := int(t.next)
	least := p.burden(s.selection, best)
	for i, left := best, len(ids)-1; left > 0 && least.live > 0; left-- { // nothing is less than none
		if i++; i == len(ids) {
			i = 0
		}
		if b := p.burden(s.selection, i); b.less(least) {
			best, least = i, b
		}
	}
	return t.take(ids, best)
}

func newSums(weights []uint32) []uint32 {
	sums := make([]uint32, len(weights))
	sum := uint32(0)
	for i, w := range weights {
		sum += w
		sums[i] = sum
	}
	return sums
}

// twoChoices picks two different backends at random by weight, and of the two the
// one with less load for its weight; the first if they are equal. Mitzenmacher,
// "The Power of Two Choices in Randomized Load Balancing", 2001.
func (p *Picker) twoChoices(s *selection) uint32 {
	i := s.at(p.below(s.total))
	if len(s.ids) == 1 {
		return s.ids[i]
	}
	// The second draw is from the weights without i's: a number from its share on
	// is moved past it.
	r := p.below(s.total - s.weights[i])
	if r >= s.sums[i]-s.weights[i] {
		r += s.weights[i]
	}
	if j := s.at(r); p.burden(s, j).less(p.burden(s, i)) {
		return s.ids[j]
	}
	return s.ids[i]
}

// at returns the index of the backend in whose share of the total r lies.
func (n *selection) at(r uint32) int {
	i, _ := slices.BinarySearch(n.sums, r+1)
	return i
}
