package engine

import (
	"testing"
	"time"
)

// Each duration is in the first bucket whose bound it does not exceed.
func TestLatencyBuckets(t *testing.T) {
	bounds := LatencyBounds()
	for _, d := range []time.Duration{0, 1, 1023, 1024, 1025, 2048, 2049, 500_000, bounds[len(bounds)-1], bounds[len(bounds)-1] + 1, time.Hour} {
		want := 0
		for want < len(bounds) && d > bounds[want] {
			want++
		}
		var l Latency
		l.observe(3, d)
		if l.Packets[want] != 3 || l.Sum != 3*max(d, 1) {
			t.Errorf("%v is in %v, sum %v; want bucket %d", d, l.Packets, l.Sum, want)
		}
	}
}

// A batch is measured with all its packets, and an empty ring is none.
func TestTimedPass(t *testing.T) {
	l := newLoad(t, 0, vip4, 10)
	w := l.engine.workers[0]
	l.deliver()
	for range 3 {
		if _, err := w.timedPass(); err != nil {
			t.Fatal(err)
		}
	}
	var sum uint64
	for _, n := range w.count.Latency.Packets {
		sum += n
	}
	if sum != batchSize || w.count.Latency.Sum <= 0 {
		t.Errorf("%d packets in %v", sum, w.count.Latency)
	}
}
