package xsk

import "testing"

// TestPlaces: the longest packet of each frame lies within it, with the headroom in
// front, and the kernel's chunk within the memory; neighbours differ in place if spread.
func TestPlaces(t *testing.T) {
	const frames, shift = 64, 11
	for _, spread := range []uint64{0, packetSpread} {
		places := map[uint64]bool{}
		for frame := range uint32(frames) {
			chunk := fillAddress(frame, shift, spread)
			if chunk+1<<shift > frames<<shift {
				t.Errorf("spread %d, frame %d: the chunk at %#x is not in the memory", spread, frame, chunk)
			}
			first := received(chunk | (spread+headroom)<<48)
			last := first + uint64(maxPacket(1<<shift, spread)) - 1
			if first>>shift != uint64(frame) || last>>shift != uint64(frame) || first%(1<<shift) < headroom {
				t.Errorf("spread %d, frame %d: longest packet from %#x to %#x", spread, frame, first, last)
			}
			places[first%(1<<shift)] = true
		}
		if want := int(spread/64 + 1); len(places) != want {
			t.Errorf("spread %d: %d places in a frame, want %d", spread, len(places), want)
		}
	}
}
