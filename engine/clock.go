package engine

import (
	"sync/atomic"
	"time"
)

// Clock is the engine's coarse time: milliseconds since its start, in 32 bits
// that may wrap (after 49 days); only differences mean anything.
type Clock struct {
	start time.Time
	set   *atomic.Uint32 // the time, if somebody else tells it
}

// NewClock returns a clock that starts now.
func NewClock() Clock { return Clock{start: time.Now()} }

// NewManualClock returns a clock that stands still but for [Clock.Set]: for packets
// whose time is not this machine's.
func NewManualClock() Clock { return Clock{set: new(atomic.Uint32)} }

// Set has a manual clock be so long after its start.
func (c Clock) Set(since time.Duration) { c.set.Store(uint32(since.Milliseconds())) }

// Now reads the clock. Workers do it once per batch.
func (c Clock) Now() uint32 {
	if c.set != nil {
		return c.set.Load()
	}
	return uint32(time.Since(c.start).Milliseconds())
}
