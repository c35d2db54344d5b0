package xsk

import (
	"slices"
	"testing"
)

// TestShowsWholePackets: however few descriptors a call of the kernel's takes, what it is shown
// ends with a packet, and comes to its end.
func TestShowsWholePackets(t *testing.T) {
	for _, limit := range []uint32{3, 4, 7, 32} {
		ring := NewRing[Desc](64)
		tx := newTXRing(ring, limit)
		var ends []uint32 // of packets of 1, 2, 3, 1, ... descriptors
		at := uint32(0)
		for k := uint32(0); at < 40; k++ {
			n := k%3 + 1
			for i := range n {
				d := Desc{Addr: uint64(at + i), Len: 1}
				if i < n-1 {
					d.Options = flagContinued
				}
				*tx.window().at(i) = d
			}
			tx.publish(n)
			at += n
			ends = append(ends, at)
		}
		for tx.pending() > 0 {
			shown := ring.Producer.Load()
			if taken := ring.Consumer.Load(); shown == taken || shown-taken > limit {
				t.Fatalf("limit %d: %d are shown", limit, shown-taken)
			}
			if !slices.Contains(ends, shown) {
				t.Errorf("limit %d: shown up to %d, where no packet ends", limit, shown)
			}
			ring.Consumer.Store(shown)
			tx.pending()
			tx.show()
		}
	}
}
