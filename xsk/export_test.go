package xsk

import "time"

// SetBindPauses shortens the wait for a busy queue. It returns what undoes it.
func SetBindPauses(pauses ...time.Duration) (restore func()) {
	old := bindPauses
	bindPauses = pauses
	return func() { bindPauses = old }
}

// Poll is what Wait sleeps by.
func (p *Poller) Poll(timeout time.Duration) (bool, error) { return p.poll(timeout) }
