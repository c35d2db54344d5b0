package balancer

import (
	"cmp"
	"math"
	"slices"
	"sync/atomic"
)

// selection is what the algorithms need to choose among the backends of a
// service. It never changes once made. The next generation of the table shares it if
// nothing of what it was made of has changed, so that a change to one service costs the
// others nothing.
type selection struct {
	epoch     uint64 // above 0, different from every other selection's
	algorithm Algorithm
	parts     []part // what it was made of: all backends, in the Spec's order

	ids     []uint32 // of the backends in rotation, in the Spec's order
	weights []uint32 // of ids, as finely as their ramps need; none is 0
	total   uint32   // sum of weights; MaxBackends times the largest weight still fits
	ramping []bool   // of ids: its weight is on the way up; nil: none is
	limits  []uint32 // of ids: how many connections it may have; nil: any
	columns []column // Weighted only
	sums    []uint32 // TwoChoices only: of the weights up to and including each
	rotated *lookup  // over ids; Maglev and SourceHash only

	// midstream is for packets of flows that nobody remembers. Some backend has the flow,
	// and it may be one that is not known to be up yet; a balancer that has run for longer
	// knows more, and both must agree. So it is over all that are not known to be unable to
	// serve, or, without such, over the suspects. Once all is known, it is rotated.
	midstream *lookup
}

// part is what a selection depends on of one backend.
type part struct {
	id       uint32
	weight   uint16
	ramp     uint8 // steps of RampSteps that it has
	limit    uint32
	standing standing
}

func (p *part) rotates() bool { return p.weight > 0 && p.standing == ready }
func (p *part) may() bool     { return p.weight > 0 && p.standing >= pending }
func (p *part) waits() bool   { return p.weight > 0 && p.standing == pending }
func (p *part) doubted() bool { return p.weight > 0 && p.standing == suspect }

// ramped and nominal are what a part weighs in a consistent hash: of the slots it has what
// it has of new flows, and of flows that nobody remembers what its weight gives it.
func (p *part) ramped() uint32  { return uint32(p.weight) * uint32(p.ramp) }
func (p *part) nominal() uint32 { return uint32(p.weight) }

// tableSize returns the number of slots for a service with n backends. It does not
// depend on which of them are in rotation: another size moves every slot.
func tableSize(a Algorithm, n int) uint32 {
	if a.Hashes() || n*slotsPerBackend > smallSlots {
		return slots
	}
	return smallSlots
}

// epochs counts the selections of all Compilers, so that a Picker cannot mistake one
// for another whatever tables it is shown.
var epochs atomic.Uint64

// newSelection makes the selection of service s, whose backends' parts these are, with
// the slots that t has.
func newSelection(s *ServiceSpec, parts []part, t *tables) *selection {
	n := &selection{epoch: epochs.Add(1), algorithm: s.Algorithm, parts: slices.Clone(parts)}
	for i := range n.parts {
		if p := &n.parts[i]; p.rotates() {
			n.ids = append(n.ids, p.id)
		}
	}
	n.weigh()
	n.limit()
	switch {
	case len(n.ids) == 0:
	case s.Algorithm == Weighted:
		n.columns = newColumns(n.weights, n.total)
	case s.Algorithm == TwoChoices:
		n.sums = newSums(n.weights)
	}
	n.hash(s, t)
	return n
}

// weigh sets the weights of who is in rotation. While some are on their way up, weights are
// in steps of a ramp. Then round-robin, which has no weights, has equal ones: the turn of
// a backend at two steps of five comes two times of five.
func (n *selection) weigh() {
	sum, steps := uint64(0), uint64(1)
	for i := range n.parts {
		if p := &n.parts[i]; p.rotates() {
			sum += uint64(p.weight)
			if p.ramp < RampSteps {
				steps = RampSteps
			}
		}
	}
	if steps > 1 {
		n.ramping = make([]bool, 0, len(n.ids))
		steps = min(steps, math.MaxUint32/sum)
	}
	for i := range n.parts {
		p := &n.parts[i]
		if !p.rotates() {
			continue
		}
		w := uint64(p.weight)
		if n.ramping != nil {
			if n.algorithm == RoundRobin {
				w = 1
			}
			n.ramping = append(n.ramping, p.ramp < RampSteps)
			w = max(1, w*steps*uint64(p.ramp)/RampSteps)
		}
		n.weights = append(n.weights, uint32(w))
		n.total += uint32(w)
	}
}

// limit notes how many connections those in rotation may have.
func (n *selection) limit() {
	limited := func(p part) bool { return p.limit > 0 && p.rotates() }
	if !slices.ContainsFunc(n.parts, limited) {
		return
	}
	for i := range n.parts {
		if p := &n.parts[i]; p.rotates() {
			n.limits = append(n.limits, cmp.Or(p.limit, math.MaxUint32))
		}
	}
}

// hash makes the consistent hashes.
func (n *selection) hash(s *ServiceSpec, t *tables) {
	all, m := members(s), tableSize(s.Algorithm, len(s.Backends))
	if s.Algorithm.Hashes() {
		n.rotated = t.lookup(all, n.parts, m, (*part).rotates, (*part).ramped)
	}
	switch {
	case n.rotated != nil && !n.warming():
		n.midstream = n.rotated
	default:
		n.midstream = t.lookup(all, n.parts, m, (*part).may, (*part).nominal)
	}
	if n.midstream == nil {
		n.midstream = t.lookup(all, n.parts, m, (*part).doubted, (*part).nominal)
	}
}

// warming reports whether it is not known yet of some backend whether it can serve.
func (n *selection) warming() bool {
	return slices.ContainsFunc(n.parts, func(p part) bool { return p.waits() })
}

// serves reports whether n is what [newSelection] would make of these.
func (n *selection) serves(a Algorithm, parts []part) bool {
	return n != nil && n.algorithm == a && slices.Equal(n.parts, parts)
}
