//go:build !race

package testutil

// Race reports whether the race detector is at work: it makes everything some ten times
// as slow.
const Race = false
