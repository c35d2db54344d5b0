package xsk

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func testUMEM(frames, frameSize uint32) *UMEM {
	return newUMEM(make([]byte, frames*frameSize), plainLedger(frames), frames, frameSize, 0)
}

func TestFrame(t *testing.T) {
	u := testUMEM(4, 2048)
	for i := range u.memory {
		u.memory[i] = byte(i >> 8)
	}
	for _, test := range []struct {
		d     Desc
		first byte
		cap   int
	}{
		{Desc{Addr: 0, Len: 2048}, 0, 2048},
		{Desc{Addr: 2048 + 256, Len: 60}, 9, 2048 - 256},
		{Desc{Addr: 4*2048 - 1, Len: 1}, 31, 1},
		{Desc{Addr: 4096, Len: 0}, 0, 2048},
	} {
		f := u.Frame(test.d)
		if len(f) != int(test.d.Len) || cap(f) != test.cap {
			t.Errorf("%+v: length %d, capacity %d, want %d, %d", test.d, len(f), cap(f), test.d.Len, test.cap)
		}
		if len(f) > 0 && f[0] != test.first {
			t.Errorf("%+v: starts with %d, want %d", test.d, f[0], test.first)
		}
	}
}

func TestFramePanics(t *testing.T) {
	u := testUMEM(4, 2048)
	for _, d := range []Desc{{Addr: 4 * 2048, Len: 1}, {Addr: 2000, Len: 100}, {Addr: ^uint64(0), Len: 1}, {Addr: 0, Len: ^uint32(0)}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v: a slice of something else", d)
				}
			}()
			u.Frame(d)
		}()
	}
}

// TestLedger moves frames between all hands, rightly and wrongly, against a map.
func TestLedger(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frames := 2 * rapid.Uint32Range(1, 20).Draw(t, "frames/2")
		u := testUMEM(frames, 4096)
		model := map[uint64]hand{} // by frame; free if not there
		for range rapid.IntRange(0, 100).Draw(t, "steps") {
			switch to := hand(rapid.IntRange(0, int(numHands)-1).Draw(t, "to")); {
			case rapid.Bool().Draw(t, "take") && u.count[free] > 0:
				i := uint64(u.takeFree(1, filled)[0])
				if model[i] != free {
					t.Fatalf("frame %d was on the free list, and in hand %d", i, model[i])
				}
				model[i] = filled
			default:
				addr := rapid.Uint64Range(0, uint64(frames)*4096+8192).Draw(t, "addr")
				from := hand(rapid.IntRange(1, int(numHands)-1).Draw(t, "from"))
				valid := addr>>12 < uint64(frames) && model[addr>>12] == from
				var moved bool
				if moved = u.view().move(addr, from, to); moved {
					if to == free {
						u.top()[0] = u.view().frame(addr)
					}
					u.counted(1, from, to)
				}
				if moved != valid {
					t.Fatalf("move of %#x from %d to %d: %v, want %v", addr, from, to, moved, valid)
				}
				if moved {
					model[addr>>12] = to
				}
			}
			var want [numHands]uint32
			for i := range uint64(frames) {
				want[model[i]]++
			}
			if u.count != want {
				t.Fatalf("counts %v, want %v", u.count, want)
			}
		}
		// The free list holds each free frame once.
		for u.count[free] > 0 {
			i := uint64(u.takeFree(1, held)[0])
			if model[i] != free {
				t.Fatalf("frame %d on the free list, and in hand %d", i, model[i])
			}
			model[i] = held
		}
	})
}

// TestLastInFirstOut: the frame that came back last is warm in the caches, and used
// next.
func TestLastInFirstOut(t *testing.T) {
	u := testUMEM(8, 2048)
	if got := u.takeFree(2, held); !slices.Equal(got, []uint32{1, 0}) {
		t.Errorf("first out are %d, want 0 and 1", got)
	}
	u.takeFree(6, held)
	for i := range uint32(5) {
		u.view().move(uint64(i)*2048, held, free)
		u.top()[0] = i
		u.counted(1, held, free)
	}
	if got := u.takeFree(3, held); !slices.Equal(got, []uint32{2, 3, 4}) {
		t.Errorf("got %d, want the last in, 2 to 4", got)
	}
}

// TestSuccessor maps the memfd once more, as a process would that takes over, and finds
// frames and ledger as they are.
func TestSuccessor(t *testing.T) {
	const frames, size = 6, 2048
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	total := frames*size + ledgerSize(frames)
	if err := unix.Ftruncate(fd, int64(total)); err != nil {
		t.Fatal(err)
	}
	var maps [2][]byte
	for i := range maps {
		maps[i], err = unix.Mmap(fd, 0, total, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(maps[i])
	}
	u := newUMEM(maps[0][:frames*size], maps[0][frames*size:], frames, size, 0)
	take := func(to hand) uint64 { return uint64(u.takeFree(1, to)[0]) * size }
	a, b, c := take(filled), take(held), take(held)
	u.view().move(b, held, free)
	u.top()[0] = u.view().frame(b)
	u.counted(1, held, free)
	copy(u.Frame(Desc{Addr: c, Len: 5}), "hello")

	next := ledgerAt(maps[1][frames*size:], frames)
	if h := next.ledgerHead; h.magic != ledgerMagic || h.version != ledgerVersion || h.frames != frames || h.frameSize != size {
		t.Errorf("header %+v", h)
	}
	if next.count != [numHands]uint32{free: 4, filled: 1, held: 1} {
		t.Errorf("counts %v", next.count)
	}
	if next.hands[a/size] != filled || next.hands[b/size] != free || next.hands[c/size] != held {
		t.Errorf("hands %v", next.hands)
	}
	if top := next.stack[next.count[free]-1]; uint64(top) != b/size {
		t.Errorf("frame %d on top of the free list, want %d", top, b/size)
	}
	if got := string(maps[1][c:][:5]); got != "hello" {
		t.Errorf("frame %q", got)
	}
}

// TestSendable against what the kernel checks, spelt out.
func TestSendable(t *testing.T) {
	u := testUMEM(4, 2048)
	rapid.Check(t, func(t *rapid.T) {
		d := Desc{
			Addr:    rapid.Uint64Range(0, 4*2048-1).Draw(t, "addr"),
			Len:     rapid.OneOf(rapid.Uint32Range(0, 5000), rapid.Uint32()).Draw(t, "len"),
			Options: rapid.SampledFrom([]uint32{0, 0, 0, 1}).Draw(t, "options"),
		}
		first, last := d.Addr, d.Addr+uint64(d.Len)-1
		want := d.Len > 0 && first/2048 == last/2048 && d.Options == 0
		if got := u.view().sendable(&d); got != want {
			t.Errorf("%+v: %v, want %v", d, got, want)
		}
	})
}
