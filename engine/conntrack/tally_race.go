//go:build race

package conntrack

import "sync/atomic"

// See tally.go.

func set32(p *uint32, v uint32) { atomic.StoreUint32(p, v) }

func set64(p *uint64, v uint64) { atomic.StoreUint64(p, v) }

func add64(p *uint64, n uint64) uint64 { return atomic.AddUint64(p, n) }
