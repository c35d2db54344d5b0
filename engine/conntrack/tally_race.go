//go:build race

package conntrack

import "sync/atomic"

// See tally.go.

func set32(p *uint32, v uint32) { atomic.StoreUint32(p, v) }

func add32(p *uint32, n uint32) uint32 { return atomic.AddUint32(p, n) }
