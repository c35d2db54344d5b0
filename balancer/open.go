package balancer

import (
	"math/bits"
	"slices"

	"github.com/afxlb/afxlb/internal/packet"
)

// Backends with as many connections as they may have get no new flows. The others have them
// by the service's algorithm, as if the full ones were not there.
//
// Half-open connections count, since most are about to become whole ones: a crowd that comes
// at one moment would be let in before the first of it is. But anybody can send SYNs with
// false sources. So where they leave nobody, only established ones count, and who comes too
// late is turned away at the end of its handshake: SYNs alone keep nobody out.

// limit notes how many connections the backend with the ID may have.
func (t *Table) limit(id, n uint32) {
	if t.limits == nil {
		t.limits = make([]uint32, len(t.Backends))
	}
	t.limits[id] = n
}

// Limited reports whether the backend with the ID may not have any number of connections.
func (t *Table) Limited(id uint32) bool { return t.limits != nil && t.limits[id] != 0 }

// Full reports whether the backend with the ID has as many established connections as it may
// have by t.
func (l *Loads) Full(t *Table, id uint32) bool {
	return t.Limited(id) && l.Established(id) >= int64(t.limits[id])
}

// Full is that of the loads that p goes by.
func (p *Picker) Full(t *Table, id uint32) bool { return p.loads.Full(t, id) }

// admit notes who of the selection is not full, for the next pick, and returns how many.
func (p *Picker) admit(s *selection) int {
	p.open = p.open[:0]
	for i, id := range s.ids {
		if p.loads.Live(id) < int64(s.limits[i]) {
			p.open = append(p.open, uint32(i))
		}
	}
	if len(p.open) > 0 {
		return len(p.open)
	}
	for i, id := range s.ids {
		if p.loads.Established(id) < int64(s.limits[i]) {
			p.open = append(p.open, uint32(i))
		}
	}
	return len(p.open)
}

// pickOpen is Pick among those that are not full.
func (p *Picker) pickOpen(s *Service, k *packet.Key) uint32 {
	n := s.selection
	switch {
	case s.Algorithm == WeightedRoundRobin || s.Algorithm == RoundRobin && n.ramping != nil:
		t := p.credited(s)
		t.last = p.richestOpen(n)
		return t.last
	case s.Algorithm == RoundRobin:
		t := p.turn(s)
		return t.take(n.ids, int(p.open[p.openFrom(t.next)]))
	case s.Algorithm == Weighted:
		i, _ := p.drawOpen(n, -1)
		return n.ids[i]
	case s.Algorithm == LeastConn:
		return p.leastOpen(s)
	case s.Algorithm == TwoChoices:
		return p.twoOpen(s)
	default:
		return p.nextOpen(n, s.hash(k))
	}
}

// openFrom returns the place in open of the first index from i on, in turn.
func (p *Picker) openFrom(i uint32) int {
	at, _ := slices.BinarySearch(p.open, i)
	if at == len(p.open) {
		return 0
	}
	return at
}

// richestOpen is richest, as nginx does it where peers are full: they earn nothing and pay
// nothing.
func (p *Picker) richestOpen(n *selection) uint32 {
	best, most, total := uint32(0), int64(0), int64(0)
	for j, i := range p.open {
		id, w := n.ids[i], int64(n.weights[i])
		c := p.credits[id] + w
		p.credits[id], total = c, total+w
		if j == 0 || c > most {
			best, most = id, c
		}
	}
	p.credits[best] -= total
	return best
}

// drawOpen draws an index at random by weight, but not without; false if there is no other.
func (p *Picker) drawOpen(n *selection, without int) (index int, ok bool) {
	total := uint32(0)
	for _, i := range p.open {
		if int(i) != without {
			total += n.weights[i]
		}
	}
	if total == 0 {
		return without, false
	}
	r := p.below(total)
	for _, i := range p.open {
		switch w := n.weights[i]; {
		case int(i) == without:
		case r < w:
			return int(i), true
		default:
			r -= w
		}
	}
	panic("balancer: a random number above the sum of the weights")
}

// leastOpen is leastConn among the open ones.
func (p *Picker) leastOpen(s *Service) uint32 {
	t, n := p.turn(s), s.selection
	restrained, at, best := p.restrains(n), p.openFrom(t.next), -1
	var least burden
	for range p.open {
		i := int(p.open[at])
		b := p.burden(n, i)
		if restrained {
			b.live += p.restraint(t, n, i)
		}
		if best < 0 || b.less(least) {
			best, least = i, b
		}
		if at++; at == len(p.open) {
			at = 0
		}
	}
	return p.note(t, t.take(n.ids, best))
}

// twoOpen is twoChoices among the open ones.
func (p *Picker) twoOpen(s *Service) uint32 {
	t, n := &p.turns[s.ID], s.selection
	i, _ := p.drawOpen(n, -1)
	if j, ok := p.drawOpen(n, i); ok {
		i = p.lighter(t, n, i, j)
	}
	return p.note(t, n.ids[i])
}

// nextOpen returns the backend for a hash: the slot's or, if that is full, that of the first
// slot behind it whose backend is not. So all clients of a full backend find another one, each
// always the same, and they are spread over all others. Mirrokni et al., "Consistent Hashing
// with Bounded Loads", 2018.
func (p *Picker) nextOpen(n *selection, hash uint64) uint32 {
	p.round++
	for _, i := range p.open {
		p.rounds[n.ids[i]] = p.round
	}
	l := n.rotated
	at, _ := bits.Mul64(hash, uint64(len(l.slots)))
	first := l.slots[at]
	for range 4 * len(l.ids) { // farther only where nearly all are full
		if id := l.ids[l.slots[at]]; p.rounds[id] == p.round {
			return id
		}
		if at++; at == uint64(len(l.slots)) {
			at = 0
		}
	}
	for i := int(first); ; i++ {
		if id := l.ids[i%len(l.ids)]; p.rounds[id] == p.round {
			return id
		}
	}
}
