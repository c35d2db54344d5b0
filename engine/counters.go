package engine

import (
	"sync"

	"github.com/afxlb/afxlb/internal/packet"
)

// Counters are what one worker counted since its start. All are plain words of
// the worker's own; a copy gets out through [published].
type Counters struct {
	Received      uint64 // packets taken from the RX ring
	ReceivedBytes uint64
	Batches       uint64                     // receives that brought something
	Misses        uint64                     // packets that took the slow path
	Sleeps        uint64                     // times the worker slept in poll(2)
	Verdicts      [packet.NumVerdicts]uint64 // their sum equals Received at every batch boundary
	Backends      []BackendCounters          // by backend ID
}

// BackendCounters are one backend's share. The arrays are indexed by
// conntrack.Direction. Traffic counts what was addressed to the backend or came
// from it, also where a later step dropped it.
type BackendCounters struct {
	Flows   uint64 // flows assigned
	Packets [2]uint64
	Bytes   [2]uint64
}

func (c *Counters) grow(backends int) {
	if n := backends - len(c.Backends); n > 0 {
		c.Backends = append(c.Backends, make([]BackendCounters, n)...)
	}
}

// add adds o to c.
func (c *Counters) add(o *Counters) {
	c.Received += o.Received
	c.ReceivedBytes += o.ReceivedBytes
	c.Batches += o.Batches
	c.Misses += o.Misses
	c.Sleeps += o.Sleeps
	for i, n := range o.Verdicts {
		c.Verdicts[i] += n
	}
	c.grow(len(o.Backends))
	for i := range o.Backends {
		b, ob := &c.Backends[i], &o.Backends[i]
		b.Flows += ob.Flows
		for d := range b.Packets {
			b.Packets[d] += ob.Packets[d]
			b.Bytes[d] += ob.Bytes[d]
		}
	}
}

// publishInterval is how old a busy worker's published counters may be. A
// worker publishes before it sleeps, so an idle one's are exact.
const publishInterval = 50 // ms

// published is the copy of a worker's counters that others may read. The worker
// makes it at batch boundaries, so it is consistent in itself: counting costs
// no atomics per packet.
type published struct {
	mu     sync.Mutex
	count  Counters
	at     uint32 // worker's own
	copied uint64 // Received at the last copy; worker's own
}

// publish makes the counters readable by others. It never waits: while somebody
// reads, the next boundary will do.
func (w *worker) publish() {
	p := &w.published
	if !p.mu.TryLock() {
		return
	}
	backends := append(p.count.Backends[:0], w.count.Backends...)
	p.count = w.count
	p.count.Backends = backends
	p.mu.Unlock()
	p.at, p.copied = w.now, w.count.Received
}

// counters adds the published counters to sum and returns them alone.
func (w *worker) counters(sum *Counters) Counters {
	w.published.mu.Lock()
	defer w.published.mu.Unlock()
	sum.add(&w.published.count)
	own := w.published.count
	own.Backends = nil
	return own
}
