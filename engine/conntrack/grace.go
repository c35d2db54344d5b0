package conntrack

import "sync/atomic"

// Grace tells when a removed record may be used again: once every worker has
// passed a batch boundary since. It is quiescent-state-based reclamation
// (Desnoyers et al., "User-Level Implementations of Read-Copy Update", 2012),
// without the waiting: whoever needs a record asks, nobody blocks.
type Grace struct {
	epoch   atomic.Uint64
	_       [56]byte
	readers []reader
}

// reader is one worker's announcement: the epoch at its last batch boundary, or
// zero while it sleeps and holds no reference. Alone on two cache lines, since
// the adjacent-line prefetcher pairs them.
type reader struct {
	at atomic.Uint64
	_  [120]byte
}

func newGrace(workers int) *Grace {
	g := &Grace{readers: make([]reader, workers)}
	g.epoch.Store(1)
	return g
}

// Quiescent announces a batch boundary of worker w: it holds no reference to
// any record now.
func (g *Grace) Quiescent(w int) { g.readers[w].at.Store(g.epoch.Add(1)) }

// Offline announces that worker w holds no reference and will take none until
// its next [Grace.Quiescent]. A worker goes offline before it sleeps, so that a
// sleeping queue can't keep removed records from being used again.
func (g *Grace) Offline(w int) { g.readers[w].at.Store(0) }

// tag returns the epoch that every online worker must have announced before a
// record removed now may be used again.
func (g *Grace) tag() uint64 { return g.epoch.Load() + 1 }

// passed returns the newest tag whose grace period is over. A worker's own
// boundary moves the epoch; with all of them asleep, nobody holds anything.
func (g *Grace) passed() uint64 {
	oldest := g.epoch.Add(1)
	for i := range g.readers {
		if at := g.readers[i].at.Load(); at != 0 && at < oldest {
			oldest = at
		}
	}
	return oldest
}
