package fragment

import "slices"

// Out is what a [Table] lets go of, for the worker that had it do so.
type Out struct {
	Ready   Frames // their first fragment has gone by
	Overdue Frames // it has not, in time
	Evicted Tally  // dropped: there was no room
}

// Tally is how many frames, and how many bytes they have.
type Tally struct{ Frames, Bytes uint64 }

func (t *Tally) add(size int) {
	t.Frames++
	t.Bytes += uint64(size)
}

// Frames is a queue of frames. Its zero value is empty.
type Frames struct {
	bytes []byte
	list  []queued
	taken int // of the list
	at    int // of the bytes
}

type queued struct {
	size int
	port uint8
}

// maxQueued bounds a queue, bytes: what two shards hold.
const maxQueued = 2 * bytesPerShard

// Room returns how many bytes of frames may still be appended.
func (f *Frames) Room() int { return maxQueued - len(f.bytes) }

// Push appends a frame of so many bytes, as if it came by port, and returns it to be written.
// There must be room.
func (f *Frames) Push(size int, port uint8) []byte {
	at := len(f.bytes)
	f.bytes = slices.Grow(f.bytes, size)[:at+size]
	f.list = append(f.list, queued{size, port})
	return f.bytes[at:]
}

// push appends a copy of frame, which came by port, if there is room.
func (f *Frames) push(frame []byte, port uint8) bool {
	if len(frame) > f.Room() {
		return false
	}
	copy(f.Push(len(frame), port), frame)
	return true
}

// Len returns how many frames there are.
func (f *Frames) Len() int { return len(f.list) - f.taken }

// Port returns the port that the first frame came by, of which there must be one.
func (f *Frames) Port() uint8 { return f.list[f.taken].port }

// Next takes the first frame, nil if there is none. It is the caller's until something is
// put in the queue again.
func (f *Frames) Next() []byte {
	if f.Len() == 0 {
		return nil
	}
	size := f.list[f.taken].size
	frame := f.bytes[f.at:][:size:size]
	f.taken, f.at = f.taken+1, f.at+size
	if f.Len() == 0 { // the memory is used again
		*f = Frames{bytes: f.bytes[:0], list: f.list[:0]}
	}
	return frame
}
