package xsk

import (
	"slices"
	"testing"
)

// joined returns a UMEM of 16 frames with a socket on each of the queues.
func joined(ends ...endpoint) *UMEM {
	u := testUMEM(16, 2048)
	for _, e := range ends {
		u.join(e)
	}
	return u
}

// TestHandsOfMembers: a frame that the kernel has by one socket can't come back by another.
func TestHandsOfMembers(t *testing.T) {
	u := joined(endpoint{1, 0}, endpoint{2, 0})
	i := u.takeFree(1, handOf(filled, 1))[0]
	addr := uint64(i) * 2048
	for _, wrong := range []hand{handOf(filled, 0), handOf(transmit, 1), handOf(filled, 2)} {
		if u.view().move(addr, wrong, held) {
			t.Errorf("received by hand %d what hand %d has", wrong, handOf(filled, 1))
		}
	}
	if !u.view().move(addr, handOf(filled, 1), held) {
		t.Error("not received by the one that has it")
	}
	if a := u.Account(); a.Total() != 16 || a.Filled != 1 {
		t.Errorf("%+v", a)
	}
}

// TestLeave: the frames that the kernel had by a socket come back when its interface is
// gone, else when the queue is bound again, and neither before nor twice; others keep theirs.
func TestLeave(t *testing.T) {
	for _, gone := range []bool{true, false} {
		u := joined(endpoint{1, 0}, endpoint{2, 0})
		u.takeFree(3, handOf(filled, 1))
		u.takeFree(2, handOf(transmit, 1))
		u.takeFree(4, handOf(filled, 0))
		u.takeFree(1, held)
		if err := u.leave(1, gone, true); err != nil {
			t.Fatal(err)
		}
		back := Account{Free: 11, Filled: 4, Held: 1}
		away := Account{Free: 6, Filled: 7, Held: 1, Transmit: 2}
		want := away
		if gone {
			want = back
		}
		if a := u.Account(); a != want {
			t.Errorf("gone %v: %+v, want %+v", gone, a, want)
		}
		if other, _ := u.join(endpoint{2, 1}); (other == 1) != gone {
			t.Errorf("gone %v: another queue's socket is number %d", gone, other)
		}
		again, _ := u.join(endpoint{2, 0})
		u.takeBack(again) // as its first Recycle does
		if a := u.Account(); a != back || !gone && again != 1 {
			t.Errorf("gone %v: bound again as %d: %+v, want %+v", gone, again, a, back)
		}
		list := slices.Sorted(slices.Values(u.stack[:u.count[free]]))
		if len(slices.Compact(list)) != 11 {
			t.Errorf("free list %v", list)
		}
	}
}

// TestLeaveWithNothing: a socket of which the kernel has nothing leaves its number free.
func TestLeaveWithNothing(t *testing.T) {
	u := joined(endpoint{1, 0}, endpoint{2, NoQueue})
	if err := u.leave(1, false, true); err != nil {
		t.Fatal(err)
	}
	if n, ok := u.join(endpoint{3, 0}); n != 1 || !ok {
		t.Errorf("number %d, %v", n, ok)
	}
}

// TestFull: numbers end, and are given out again.
func TestFull(t *testing.T) {
	u := joined()
	for i := range maxMembers {
		if u.full() {
			t.Fatalf("full with %d", i)
		}
		u.join(endpoint{1, i})
	}
	if !u.full() {
		t.Error("room for more than there are hands")
	}
	if handOf(transmit, maxMembers-1) != 255 {
		t.Errorf("last hand %d", handOf(transmit, maxMembers-1))
	}
	if err := u.leave(7, true, true); err != nil || u.full() {
		t.Errorf("%v: still full", err)
	}
}

// TestLastOneOut: the memory goes with the last socket, not with the first.
func TestLastOneOut(t *testing.T) {
	u := joined(endpoint{1, 0}, endpoint{2, 0})
	released := 0
	u.release = func() error { released++; return nil }
	if err := u.leave(0, false, true); err != nil || released != 0 || u.memory == nil {
		t.Fatalf("%v, %d times released, %d bytes", err, released, len(u.memory))
	}
	if err := u.leave(1, false, true); err != nil || released != 1 || u.memory != nil || u.Frames() != 0 {
		t.Errorf("%v, %d times released, %d bytes", err, released, len(u.memory))
	}
	if _, ok := u.join(endpoint{3, 0}); ok {
		t.Error("a socket may join although the memory is gone")
	}
}
