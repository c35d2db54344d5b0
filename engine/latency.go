package engine

import (
	"math/bits"
	"time"
)

// Latency is how long packets took from the RX ring to the TX ring: those of one batch in
// latencySample, each as long as its batch, which is looked at when it is taken and when it
// has been sent. What a packet waits on the RX ring is not in it.
type Latency struct {
	Packets [latencyBuckets + 1]uint64 // by [LatencyBounds], in the last one what took longer
	Sum     time.Duration              // over all of these packets
}

const (
	latencySample  = 32 // a power of two
	latencyBuckets = 15
	latencyUnit    = 10 // log2 of the ns of the first bucket
)

// LatencyBounds are the upper bounds of the buckets: 1 µs (1,024 ns), and each twice the one before.
func LatencyBounds() (bounds [latencyBuckets]time.Duration) {
	for i := range bounds {
		bounds[i] = 1 << (latencyUnit + i)
	}
	return bounds
}

// samplingPass is pass, timed now and then.
func (w *worker) samplingPass() (int, error) {
	if w.count.Batches%latencySample == 0 {
		return w.timedPass()
	}
	return w.pass()
}

// timedPass is pass, and takes its batch into account.
func (w *worker) timedPass() (int, error) {
	began := time.Now()
	n, err := w.pass()
	if n > 0 {
		w.count.Latency.observe(n, time.Since(began))
	}
	return n, err
}

// observe takes a batch of n packets into account that took d.
func (l *Latency) observe(n int, d time.Duration) {
	d = max(d, 1)
	i := min(max(bits.Len64(uint64(d-1))-latencyUnit, 0), latencyBuckets)
	l.Packets[i] += uint64(n)
	l.Sum += time.Duration(n) * d
}

func (l *Latency) add(o *Latency) {
	for i, n := range o.Packets {
		l.Packets[i] += n
	}
	l.Sum += o.Sum
}
