package packet_test

import (
	"bytes"
	"testing"
)

// guarded is a frame in the middle of a larger buffer, as in a UMEM, with other
// frames' bytes before and behind it that no one may touch.
type guarded struct {
	buffer []byte
	before []byte
	start  int
	room   int // capacity of the frame
}

const canary = 0xa5

// guard copies frame into a guarded buffer. Its capacity is room more than its
// length.
func guard(frame []byte, room int) *guarded {
	const margin = 64
	g := &guarded{start: margin, room: len(frame) + room}
	g.buffer = bytes.Repeat([]byte{canary}, margin+g.room+margin)
	copy(g.buffer[margin:], frame)
	g.before = bytes.Clone(g.buffer)
	return g
}

// frame returns n bytes of the frame, with the capacity that it has.
func (g *guarded) frame(n int) []byte {
	return g.buffer[g.start : g.start+n : g.start+g.room]
}

// check fails the test if a byte outside of the frame's first n was written.
func (g *guarded) check(t testing.TB, n int) {
	t.Helper()
	end := g.start + n
	if !bytes.Equal(g.buffer[:g.start], g.before[:g.start]) {
		t.Fatalf("wrote in front of the frame: %x", g.buffer[:g.start])
	}
	if !bytes.Equal(g.buffer[end:], g.before[end:]) {
		t.Fatalf("wrote behind the frame's %d bytes: %x", n, g.buffer[end:])
	}
}
