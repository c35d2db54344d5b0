package xsk

import (
	"testing"

	"pgregory.net/rapid"
)

// TestRingWraps runs a producer and a consumer over one ring whose indices start
// anywhere, also shortly before they wrap, against a queue.
func TestRingWraps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := uint32(1) << rapid.IntRange(0, 6).Draw(t, "log2 size")
		start := rapid.OneOf(rapid.Uint32(), rapid.Uint32Range(1<<32-100, 1<<32-1)).Draw(t, "start")
		memory := NewRing[uint64](size)
		memory.Producer.Store(start)
		memory.Consumer.Store(start)
		in, out := newFillRing(memory), newCompletionRing(memory)
		var queue []uint64
		value := uint64(0)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			want := rapid.Uint32Range(0, 2*size).Draw(t, "produce")
			n := in.room(want)
			if most := min(want, size-uint32(len(queue))); n != most {
				t.Fatalf("room for %d of %d with %d of %d in use, want %d", n, want, len(queue), size, most)
			}
			for i := range n {
				*in.window().at(i) = value
				queue = append(queue, value)
				value++
			}
			if out.ready(1) != 0 && len(queue) == int(n) {
				t.Fatal("seen before it was published")
			}
			in.publish(n)

			want = rapid.Uint32Range(0, 2*size).Draw(t, "consume")
			n = out.ready(want)
			if most := min(want, uint32(len(queue))); n != most {
				t.Fatalf("%d of %d ready with %d in use, want %d", n, want, len(queue), most)
			}
			for i := range n {
				if got := *out.window().at(i); got != queue[0] {
					t.Fatalf("got %d, want %d", got, queue[0])
				}
				queue = queue[1:]
			}
			out.consumed(n)
		}
	})
}

// TestTXPending counts across the wrap, too.
func TestTXPending(t *testing.T) {
	memory := NewRing[Desc](8)
	memory.Producer.Store(1<<32 - 3)
	memory.Consumer.Store(1<<32 - 3)
	r := newTXRing(memory, 8)
	for i := range uint32(8) {
		*r.window().at(i) = Desc{Addr: uint64(i)}
	}
	r.publish(8)
	if got := r.pending(); got != 8 {
		t.Errorf("%d pending, want 8", got)
	}
	memory.Consumer.Store(2)
	if got := r.pending(); got != 3 {
		t.Errorf("%d pending, want 3", got)
	}
	rx := newRXRing(memory)
	for i := uint64(5); i < 8; i++ {
		if d := rx.window().at(uint32(i) - 5); d.Addr != i {
			t.Errorf("got %d, want %d", d.Addr, i)
		}
	}
}

// TestTXLimit runs a TX ring against a kernel that tells late what it took: it never
// sees more than the limit, nor less than there is within it, and in the end all.
func TestTXLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := uint32(1) << rapid.IntRange(0, 6).Draw(t, "log2 size")
		limit := rapid.Uint32Range(1, 2*size).Draw(t, "limit")
		start := rapid.Uint32Range(1<<32-100, 1<<32-1).Draw(t, "start")
		memory := NewRing[Desc](size)
		memory.Producer.Store(start)
		memory.Consumer.Store(start)
		r := newTXRing(memory, limit)
		given, taken := uint32(0), uint32(0)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			n := r.room(rapid.Uint32Range(0, size).Draw(t, "produce"))
			given += n
			r.publish(n)
			shown := memory.Producer.Load() - memory.Consumer.Load()
			if shown > limit || shown > given-taken {
				t.Fatalf("%d shown of %d, with a limit of %d", shown, given-taken, limit)
			}
			n = rapid.Uint32Range(0, shown).Draw(t, "take")
			taken += n
			memory.Consumer.Add(n)
			if left := r.pending(); left != given-taken {
				t.Fatalf("%d pending, want %d", left, given-taken)
			}
			r.show()
			if shown, want := memory.Producer.Load()-memory.Consumer.Load(), min(limit, given-taken); shown != want {
				t.Fatalf("%d shown after a look at the kernel, want %d", shown, want)
			}
		}
	})
}

// TestRoomReadsSparingly: the kernel's word, which costs a cache miss, is read only
// when the copy does not suffice.
func TestRoomReadsSparingly(t *testing.T) {
	memory := NewRing[uint64](8)
	r := newFillRing(memory)
	r.prod, r.cons = 4, 0
	memory.Producer.Store(4)
	memory.Consumer.Store(4)
	if n := r.room(4); n != 4 || r.cons != 0 {
		t.Errorf("room %d with the copy at %d, want 4 without a look", n, r.cons)
	}
	if n := r.room(5); n != 5 || r.cons != 4 {
		t.Errorf("room %d with the copy at %d, want 5 after a look", n, r.cons)
	}
}
