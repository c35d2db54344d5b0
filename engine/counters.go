package engine

import (
	"sync"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
)

// Counters are what one worker counted since its start. All are plain words of
// the worker's own; a copy gets out through [published].
type Counters struct {
	Received      uint64 // packets taken from the RX ring
	ReceivedBytes uint64
	Batches       uint64                     // receives that brought something
	Misses        uint64                     // packets that took the slow path
	Completed     uint64                     // packets whose checksum was finished here
	Sleeps        uint64                     // times the worker slept in poll(2)
	Verdicts      [packet.NumVerdicts]uint64 // their sum equals Received at every batch boundary
	Latency       Latency
	Ports         [maxPorts]PortCounters
	Backends      []BackendCounters // by backend ID
	Full          uint64            // connections that could not begin, since all backends of their service were full
}

// PortCounters are the packets of one interface. What was sent was put on a TX ring, as is
// what is counted as forwarded or replied.
type PortCounters struct {
	Received, Sent uint64
	Copied         uint64 // of those sent: into frames that the interface can send from
}

// BackendCounters are one backend's share: what was put on the TX ring for it, or came
// from it and was put there for a client. What is dropped on the way is counted by its
// verdict alone. The arrays are indexed by conntrack.Direction.
type BackendCounters struct {
	Flows   uint64 // flows assigned, each when its first packet was rewritten
	Packets [2]uint64
	Bytes   [2]uint64 // as received
}

func (c *Counters) grow(backends int) {
	if n := backends - len(c.Backends); n > 0 {
		c.Backends = append(c.Backends, make([]BackendCounters, n)...)
	}
}

// add adds o to c, but for the backends.
func (c *Counters) add(o *Counters) {
	c.Received += o.Received
	c.ReceivedBytes += o.ReceivedBytes
	c.Batches += o.Batches
	c.Misses += o.Misses
	c.Completed += o.Completed
	c.Sleeps += o.Sleeps
	c.Full += o.Full
	c.Latency.add(&o.Latency)
	for i, n := range o.Verdicts {
		c.Verdicts[i] += n
	}
	for i := range o.Ports {
		c.Ports[i].Received += o.Ports[i].Received
		c.Ports[i].Sent += o.Ports[i].Sent
		c.Ports[i].Copied += o.Ports[i].Copied
	}
}

func (b *BackendCounters) add(o *BackendCounters) {
	b.Flows += o.Flows
	for d := range b.Packets {
		b.Packets[d] += o.Packets[d]
		b.Bytes[d] += o.Bytes[d]
	}
}

// publishInterval is how old a busy worker's published counters may be, and restInterval
// an idle one's: it publishes before it sleeps, but not after every packet that wakes it,
// since with very many backends the copy takes longer than the packet.
const publishInterval, restInterval = 50, 5 // ms

// published is the copy of a worker's counters that others may read. The worker
// makes it at batch boundaries, so it is consistent in itself: counting costs
// no atomics per packet.
type published struct {
	mu     sync.Mutex
	count  Counters
	frames xsk.Account
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
	p.frames = w.account()
	p.mu.Unlock()
	p.at, p.copied = w.now, w.count.Received
}

// tell writes what was published, but for the backends, into in, and adds it to sum.
func (w *worker) tell(in *WorkerInfo, sum *Counters) {
	w.published.mu.Lock()
	defer w.published.mu.Unlock()
	in.Counters, in.Frames = w.published.count, w.published.frames
	in.Counters.Backends = nil
	sum.add(&in.Counters)
}

// traffic adds the published counters of backends to sums, by their IDs.
func (w *worker) traffic(ids []uint32, sums []BackendCounters) {
	w.published.mu.Lock()
	defer w.published.mu.Unlock()
	have := w.published.count.Backends
	for i, id := range ids {
		if int(id) < len(have) { // else the worker has not seen it yet
			sums[i].add(&have[id])
		}
	}
}
