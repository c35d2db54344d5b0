package engine

import "time"

// Clock is the engine's coarse time: milliseconds since its start, in 32 bits
// that may wrap (after 49 days); only differences mean anything.
type Clock struct{ start time.Time }

// NewClock returns a clock that starts now.
func NewClock() Clock { return Clock{time.Now()} }

// Now reads the clock. Workers do it once per batch.
func (c Clock) Now() uint32 { return uint32(time.Since(c.start).Milliseconds()) }
