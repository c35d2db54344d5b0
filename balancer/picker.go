package balancer

import (
	"math/rand/v2"

	"github.com/afxlb/afxlb/internal/packet"
)

// MaxServices is how many services can exist at a time. A service's ID is below it.
const MaxServices = 1 << 16

// Picker is one worker's part of the selection: whose turn it is at each service,
// and a random number generator. It belongs to the worker alone; nothing in it is
// shared, so a pick takes no lock. It takes 3 MiB of address space, of which only
// the pages in use become resident.
type Picker struct {
	worker uint32
	loads  *Loads
	random rand.PCG

	turns   [MaxServices]turn   // by service ID
	credits [MaxBackends]int64  // by backend ID; WeightedRoundRobin only
	picked  [MaxBackends]uint32 // by backend ID: its service's picks when it had the last; LeastConn and TwoChoices only

	// Of services with backends that may be full; see open.go.

	open   []uint32            // indexes of those that the pick is among; as large as the largest such service
	round  uint64              // of nextOpen
	rounds [MaxBackends]uint64 // by backend ID: the last round in which it was open
}

// NewPicker returns the Picker of the worker with this number, counted from 0.
// The workers' turns start at different backends, so that a few connections
// that are spread over many workers do not all meet at the first backend. The same
// worker makes the same random choices in every run, so that a replay is exact.
func NewPicker(worker int, loads *Loads) *Picker {
	p := &Picker{worker: uint32(worker), loads: loads}
	p.random.Seed(0x61667862616c616e, uint64(worker)) // of no meaning but to differ
	return p
}

// Pick returns the ID of the backend that a new flow of the service goes to: one
// that is up and has a weight. It returns false if there is none. Load-aware
// algorithms see a flow only once [Loads.AddLive] has counted it, so that belongs
// before the next Pick.
func (p *Picker) Pick(s *Service, k *packet.Key) (id uint32, ok bool) {
	switch {
	case len(s.Eligible()) == 0:
		return 0, false
	case s.selection.limits != nil:
		switch p.admit(s.selection) {
		case 0:
			return 0, false
		case len(s.selection.ids):
		default:
			return p.pickOpen(s, k), true
		}
	}
	switch s.Algorithm {
	case RoundRobin:
		id = p.roundRobin(s)
	case WeightedRoundRobin:
		id = p.weightedRoundRobin(s)
	case Weighted:
		id = p.weighted(s.selection)
	case LeastConn:
		id = p.leastConn(s)
	case TwoChoices:
		id = p.twoChoices(s)
	default: // SourceHash, Maglev
		id = s.selection.rotated.at(s.hash(k))
	}
	return id, true
}

// below returns a random number in [0, n), even to within n in 2^32 (Lemire,
// "Fast Random Integer Generation in an Interval", 2019).
func (p *Picker) below(n uint32) uint32 {
	return uint32(p.random.Uint64() >> 32 * uint64(n) >> 32)
}
