package conntrack

import "sync/atomic"

// Grace tells when a removed record may be used again: once every worker has
// passed a batch boundary since. It is quiescent-state-based reclamation
// (Desnoyers et al., "User-Level Implementations of Read-Copy Update", 2012),
// without the waiting: whoever needs a record asks, nobody blocks.
type Grace struct {
	epoch   atomic.Uint64
	_       [56]byte
	readers []reader     // of all workers that there may ever be
	workers atomic.Int32 // that may be online
}

// MaxWorkers is how many there can be: more than NICs have queues.
const MaxWorkers = 1024

// reader is one worker's announcement: the epoch at its last batch boundary, or
// zero while it sleeps and holds no reference. Alone on two cache lines, since
// the adjacent-line prefetcher pairs them.
type reader struct {
	at atomic.Uint64
	_  [120]byte
}

func newGrace(workers int) *Grace {
	g := &Grace{readers: make([]reader, MaxWorkers)}
	g.epoch.Store(1)
	g.Admit(workers)
	return g
}

// Admit says that workers 0 to n-1 may come online from now on, beside those of before.
// There are [MaxWorkers] at most.
func (g *Grace) Admit(n int) { g.workers.Store(max(int32(n), g.workers.Load())) }

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
	for i := range g.readers[:g.workers.Load()] { // after the epoch was moved: who comes online later is past it
		if at := g.readers[i].at.Load(); at != 0 && at < oldest {
			oldest = at
		}
	}
	return oldest
}
