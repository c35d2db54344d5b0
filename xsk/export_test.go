package xsk

import "time"

// SetBindPauses shortens the wait for a busy queue. It returns what undoes it.
func SetBindPauses(pauses ...time.Duration) (restore func()) {
	old := bindPauses
	bindPauses = pauses
	return func() { bindPauses = old }
}
