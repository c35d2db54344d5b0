package balancer

import (
	"slices"
	"sync/atomic"
)

// selection is what the algorithms need to choose among the backends of a
// service that are in rotation. It never changes once made. The next generation
// of the table shares it if nothing about the service's rotation has changed, so
// that a change to one service costs the others nothing.
type selection struct {
	epoch   uint64   // above 0, different from every other selection's
	ids     []uint32 // in the Spec's order
	weights []uint32 // of ids; none is 0
	total   uint32   // sum of weights; MaxBackends times the largest weight still fits
	slots   []uint16 // consistent table of IDs
	columns []column // Weighted only
	sums    []uint32 // TwoChoices only: of the weights up to and including each
}

// rotation says what a selection is to be made of.
type rotation struct {
	algorithm    Algorithm
	slots        int      // size of the consistent table
	names        []string // of the backends in rotation
	ids, weights []uint32
}

// tableSize returns the number of slots for a service with n backends. It does not
// depend on which of them are in rotation: another size moves every slot.
func tableSize(a Algorithm, n int) int {
	if a == Maglev || a == SourceHash || n*slotsPerBackend > smallSlots {
		return slots
	}
	return smallSlots
}

// epochs counts the selections of all Compilers, so that a Picker cannot mistake one
// for another whatever tables it is shown.
var epochs atomic.Uint64

func newSelection(r *rotation) *selection {
	s := &selection{epoch: epochs.Add(1), ids: r.ids, weights: r.weights}
	if len(r.ids) == 0 {
		return s
	}
	for _, w := range r.weights {
		s.total += w
	}
	s.slots = consistentTable(r.names, r.ids, r.weights, uint32(r.slots))
	switch r.algorithm {
	case Weighted:
		s.columns = newColumns(r.weights, s.total)
	case TwoChoices:
		s.sums = newSums(r.weights)
	}
	return s
}

// serves reports whether s is what [newSelection] would make of r. Names need no
// comparison: an ID does not change its owner between two generations.
func (s *selection) serves(r *rotation) bool {
	return slices.Equal(s.ids, r.ids) && slices.Equal(s.weights, r.weights) &&
		(len(r.ids) == 0 || len(s.slots) == r.slots) &&
		(r.algorithm != Weighted || s.columns != nil) &&
		(r.algorithm != TwoChoices || s.sums != nil)
}
