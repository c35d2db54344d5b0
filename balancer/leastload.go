package balancer

import "slices"

// burden is a backend's live connections and what they are to be measured by.
type burden struct {
	live   int64
	weight int64
}

// resting is more connections than a backend can have, and few enough to be multiplied by
// a weight.
const resting = 1 << 40

// burden returns what backend i of the selection is busy with.
func (p *Picker) burden(s *selection, i int) burden {
	return burden{live: p.loads.Live(s.ids[i]), weight: int64(s.weights[i])}
}

// restraint returns how many connections more backend i counts for if it has come back, or
// refuses. One whose weight is on the way up counts for no more, but has few for its weight. It rests after each pick: until that is over it counts as busier than all others.
func (p *Picker) restraint(t *turn, s *selection, i int) int64 {
	id := s.ids[i]
	more, refused := p.loads.Handicap(id), p.loads.Refused(id)
	if more == 0 && refused == 0 && (s.ramping == nil || !s.ramping[i]) {
		return 0
	}
	if since := t.picks - p.picked[id]; int64(since)+1 < s.interval(i)*min(1+refused, mostPatience) {
		more += resting
	}
	return more
}

// restrains reports whether some backend may have to be restrained.
func (p *Picker) restrains(s *selection) bool {
	return s.ramping != nil || p.loads.restrained.Load() > 0
}

// mostPatience bounds the rest of one that refuses: 1 in 32 clients of three equal backends
// finds out whether it still does.
const mostPatience = 16

// interval returns one in how many picks of the service backend i may have after its
// return: of its worker's new connections it gets twice the share that its weight gives it
// at most, and never two in a row. With each refusal it gets fewer.
func (n *selection) interval(i int) int64 { return max(2, int64((n.total-1)/(2*n.weights[i])+1)) }

// note counts the pick of the backend with the ID.
func (p *Picker) note(t *turn, id uint32) uint32 {
	t.picks++
	p.picked[id] = t.picks
	return id
}

// less reports whether a has fewer connections for its weight than b: a fraction
// compared to another, without a division.
func (a burden) less(b burden) bool { return a.live*b.weight < b.live*a.weight }

// leastConn picks the backend with the fewest live connections for its weight.
// Equal ones get their turn one after the other.
func (p *Picker) leastConn(s *Service) uint32 {
	t, ids := p.turn(s), s.selection.ids
	best := int(t.next)
	least, restrained := p.burden(s.selection, best), p.restrains(s.selection)
	if restrained {
		least.live += p.restraint(t, s.selection, best)
	}
	for i, left := best, len(ids)-1; left > 0 && least.live > 0; left-- { // nothing is less than none
		if i++; i == len(ids) {
			i = 0
		}
		b := p.burden(s.selection, i)
		if restrained {
			b.live += p.restraint(t, s.selection, i)
		}
		if b.less(least) {
			best, least = i, b
		}
	}
	return p.note(t, t.take(ids, best))
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
func (p *Picker) twoChoices(service *Service) uint32 {
	t, s := &p.turns[service.ID], service.selection
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
	j := s.at(r)
	return p.note(t, s.ids[p.lighter(t, s, i, j)])
}

// lighter returns the one of backends i and j with less load for its weight; i if they are
// equal.
func (p *Picker) lighter(t *turn, s *selection, i, j int) int {
	one, other := p.burden(s, i), p.burden(s, j)
	if p.restrains(s) {
		one.live, other.live = one.live+p.restraint(t, s, i), other.live+p.restraint(t, s, j)
	}
	if other.less(one) {
		return j
	}
	return i
}

// at returns the index of the backend in whose share of the total r lies.
func (n *selection) at(r uint32) int {
	i, _ := slices.BinarySearch(n.sums, r+1)
	return i
}
