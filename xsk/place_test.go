package xsk

import (
	"errors"
	"fmt"
	"testing"
)

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
			last := first + uint64(maxPacket(1<<shift, spread, ModeCopy)) - 1
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

// TestFrameSizeFor: the frames of zero-copy hold a packet though a driver rounds their
// room down to a kilobyte.
func TestFrameSizeFor(t *testing.T) {
	for _, test := range []struct {
		mode    Mode
		mtu     int
		asked   uint32
		several bool
		size    uint32 // 0: refused
	}{
		{ModeCopy, 1500, 0, false, 2048},
		{ModeCopy, 1578, 0, false, 2048},
		{ModeCopy, 1579, 0, false, 4096},
		{ModeCopy, 3626, 0, false, 4096},
		{ModeCopy, 9000, 0, false, 4096},
		{ModeZeroCopy, 576, 0, false, 2048},
		{ModeZeroCopy, 1002, 0, false, 2048},
		{ModeZeroCopy, 1003, 0, false, 4096},
		{ModeZeroCopy, 1500, 0, false, 4096},
		{ModeZeroCopy, 3050, 0, false, 4096},
		{ModeZeroCopy, 3051, 0, false, 0},
		{ModeZeroCopy, 9000, 0, false, 0},
		{ModeCopy, 1500, 4096, false, 4096},
		{ModeCopy, 3000, 2048, false, 2048}, // what does not fit is counted
		{ModeZeroCopy, 1002, 2048, false, 2048},
		{ModeZeroCopy, 1500, 2048, false, 0},
		{ModeZeroCopy, 1500, 4096, false, 4096},
		{ModeZeroCopy, 1500, 0, true, 4096},
		{ModeZeroCopy, 9000, 0, true, 4096},
		{ModeZeroCopy, 1500, 2048, true, 2048},
		{ModeZeroCopy, 9001, 0, true, 0},
		{ModeCopy, 9000, 0, true, 4096},
		{ModeCopy, 9000, 2048, true, 2048},
	} {
		t.Run(fmt.Sprint(test.mode, " ", test.mtu, " ", test.asked, test.several), func(t *testing.T) {
			size, err := frameSizeFor(test.mtu, test.mode, test.asked, test.several)
			if size != test.size || errors.Is(err, ErrNotSupported) != (test.size == 0) {
				t.Fatalf("frames of %d bytes, %v; want %d", size, err, test.size)
			}
			if test.mode == ModeZeroCopy && size != 0 && !test.several && (int(size)-256)/1024*1024 < test.mtu+22 {
				t.Errorf("frames of %d bytes do not hold an MTU of %d in units of a kilobyte", size, test.mtu)
			}
		})
	}
	for mode, want := range map[Mode]int{ModeAuto: 3626, ModeCopy: 3626, ModeGeneric: 3626, ModeZeroCopy: 3050} {
		if got := MaxMTU(mode, 0); got != want {
			t.Errorf("%s: largest MTU %d, want %d", mode, got, want)
		}
	}
}
