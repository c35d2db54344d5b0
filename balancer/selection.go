package balancer

import (
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
	weights []uint32 // of ids; none is 0
	total   uint32   // sum of weights; MaxBackends times the largest weight still fits
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
	standing standing
}

func (p *part) rotates() bool { return p.weight > 0 && p.standing == ready }
func (p *part) may() bool     { return p.weight > 0 && p.standing >= pending }
func (p *part) waits() bool   { return p.weight > 0 && p.standing == pending }
func (p *part) doubted() bool { return p.weight > 0 && p.standing == suspect }

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
			n.ids, n.weights = append(n.ids, p.id), append(n.weights, uint32(p.weight))
			n.total += uint32(p.weight)
		}
	}
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

// hash makes the consistent hashes.
func (n *selection) hash(s *ServiceSpec, t *tables) {
	all, m := members(s), tableSize(s.Algorithm, len(s.Backends))
	if s.Algorithm.Hashes() {
		n.rotated = t.lookup(all, n.parts, m, (*part).rotates)
	}
	switch {
	case n.rotated != nil && !n.warming():
		n.midstream = n.rotated
	default:
		n.midstream = t.lookup(all, n.parts, m, (*part).may)
	}
	if n.midstream == nil {
		n.midstream = t.lookup(all, n.parts, m, (*part).doubted)
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
