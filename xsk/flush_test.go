package xsk_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// load puts n packets on the TX ring of a new fake.
func load(t *testing.T, ring uint32, n int) (*xsktest.Kernel, *xsk.Socket) {
	t.Helper()
	k := xsktest.New(4*ring, 2048, ring)
	s := k.Socket()
	descs := make([]xsk.Desc, n)
	if s.Allocate(descs) != n || s.Transmit(descs) != n {
		t.Fatal("could not load the TX ring")
	}
	return k, s
}

// TestFlushErrno is the errno table: what each answer of the kernel comes to.
func TestFlushErrno(t *testing.T) {
	again := []unix.Errno{unix.EAGAIN}
	for _, test := range []struct {
		name    string
		answers []unix.Errno // then the kernel sends
		is      error
		pending uint32 // left of 8
		kicks   uint64
		again   uint64
	}{
		{name: "sent", pending: 0, kicks: 1},
		{name: "EAGAIN once", answers: again, kicks: 2, again: 1},
		{name: "EAGAIN for good", answers: append(again, again...), pending: 8, kicks: 2, again: 2},
		{name: "nothing taken, no error", answers: []unix.Errno{0, 0}, pending: 8, kicks: 2},
		{name: "EINTR", answers: []unix.Errno{unix.EINTR}, kicks: 2},
		{name: "EBUSY", answers: []unix.Errno{unix.EBUSY}, kicks: 2},
		{name: "ENOBUFS", answers: []unix.Errno{unix.ENOBUFS}, pending: 8, kicks: 1, again: 1},
		{name: "ENETDOWN", answers: []unix.Errno{unix.ENETDOWN}, is: xsk.ErrLinkDown, pending: 8, kicks: 1},
		{name: "ENXIO", answers: []unix.Errno{unix.ENXIO}, is: xsk.ErrGone, pending: 8, kicks: 1},
		{name: "EINVAL", answers: []unix.Errno{unix.EINVAL}, is: xsk.ErrLinkDown, pending: 8, kicks: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			k, s := load(t, 16, 8)
			k.Answer(test.answers...)
			err := s.Flush()
			if !errors.Is(err, test.is) {
				t.Errorf("error %v, want %v", err, test.is)
			}
			if test.is != nil && !errors.Is(err, test.answers[0]) && test.is != xsk.ErrGone {
				t.Errorf("error %v has lost its errno", err)
			}
			if got := s.Pending(); got != test.pending {
				t.Errorf("%d pending, want %d", got, test.pending)
			}
			st, err := s.Statistics()
			must(t, err)
			if st.Kicks != test.kicks || st.Again != test.again || st.TxDropped != 0 {
				t.Errorf("%+v: want %d kicks, %d again, none dropped", st, test.kicks, test.again)
			}
		})
	}
}

func TestFlushNothing(t *testing.T) {
	k, s := load(t, 16, 8)
	must(t, s.Flush())
	before := k.SentCount()
	must(t, s.Flush())
	if st, _ := s.Statistics(); st.Kicks != 1 || k.SentCount() != before {
		t.Errorf("%d kicks, want none with nothing on the ring", st.Kicks-1)
	}
}

// TestFlushNoWakeup: a kernel that did not ask for it is not called.
func TestFlushNoWakeup(t *testing.T) {
	k, s := load(t, 16, 8)
	k.SetNeedWakeup(false)
	must(t, s.Flush())
	if st, _ := s.Statistics(); st.Kicks != 0 {
		t.Errorf("%d kicks", st.Kicks)
	}
	if errno := k.Transmit(); errno != 0 || s.Pending() != 0 {
		t.Errorf("the driver took the ring: errno %d, %d pending", errno, s.Pending())
	}
}

// TestFlushBudget: a kernel that takes 32 packets a call is called until all are gone.
func TestFlushBudget(t *testing.T) {
	k, s := load(t, 256, 200)
	k.SetBudget(32)
	must(t, s.Flush())
	st, _ := s.Statistics()
	if s.Pending() != 0 || st.Kicks != 7 || k.SentCount() != 200 {
		t.Errorf("%d pending, %d kicks, %d sent; want 0, 7, 200", s.Pending(), st.Kicks, k.SentCount())
	}
}

// TestFlushDropped: an interface that refuses packets costs a call each, and no more
// than the bound.
func TestFlushDropped(t *testing.T) {
	k, s := load(t, 1024, 300)
	k.Drop(300)
	must(t, s.Flush())
	if st, _ := s.Statistics(); st.TxDropped != 256 || st.Kicks != 256 || s.Pending() != 44 {
		t.Errorf("%+v, %d pending; want 256 dropped in 256 kicks, 44 pending", st, s.Pending())
	}
	must(t, s.Flush())
	if st, _ := s.Statistics(); st.TxDropped != 300 || s.Pending() != 0 {
		t.Errorf("%+v, %d pending; want 300 dropped, 0 pending", st, s.Pending())
	}
	s.Recycle()
	if a := s.Account(); a.Transmit != 0 {
		t.Errorf("%+v: dropped packets did not come back", a)
	}
}

// TestFlushCompletionRingFull: EAGAIN for want of room on the COMPLETION ring goes away
// by draining it, which Flush must do itself.
func TestFlushCompletionRingFull(t *testing.T) {
	k, s := load(t, 16, 16)
	must(t, s.Flush()) // 16 completions now wait on a ring of 16
	descs := make([]xsk.Desc, 16)
	n := s.Allocate(descs)
	if s.Transmit(descs[:n]) != n || n == 0 {
		t.Fatal("could not load the TX ring")
	}
	must(t, s.Flush())
	if got := s.Pending(); got != 0 {
		t.Errorf("%d pending behind a full COMPLETION ring", got)
	}
	if got := k.SentCount(); got != uint64(16+n) {
		t.Errorf("%d sent, want %d", got, 16+n)
	}
}

// TestFlushSlowPeer: with completions withheld, the TX ring fills up and stays.
func TestFlushSlowPeer(t *testing.T) {
	k, s := load(t, 16, 16)
	k.Hold(true)
	must(t, s.Flush()) // all entries of the COMPLETION ring are reserved now
	descs := make([]xsk.Desc, 16)
	n := s.Allocate(descs)
	s.Transmit(descs[:n])
	must(t, s.Flush())
	if a := s.Account(); s.Pending() != uint32(n) || a.Transmit != uint32(16+n) {
		t.Errorf("%d pending, %+v; want %d, %d in transmit", s.Pending(), a, n, 16+n)
	}
	k.Complete(3)
	must(t, s.Flush())
	if got := s.Pending(); got != uint32(n-3) {
		t.Errorf("%d pending after 3 completions, want %d", got, n-3)
	}
	k.Hold(false)
	must(t, s.Flush())
	if got := s.Pending(); got != 0 {
		t.Errorf("%d pending after all completions", got)
	}
}

func TestFlushGoneForGood(t *testing.T) {
	k, s := load(t, 16, 8)
	k.Remove()
	for range 3 {
		if err := s.Flush(); !errors.Is(err, xsk.ErrGone) {
			t.Fatalf("Flush: %v", err)
		}
	}
	if st, _ := s.Statistics(); st.Kicks != 1 {
		t.Errorf("%d kicks of a socket that is gone", st.Kicks)
	}
}

func TestWait(t *testing.T) {
	k := xsktest.New(64, 2048, 16)
	s := k.Socket()
	must(t, s.Wait(0))
	must(t, s.Wait(-time.Second))
	must(t, s.Wait(time.Nanosecond))
	// A packet ends a wait of an hour, one that was there before and one that comes.
	k.Deliver(make([]byte, 60))
	must(t, s.Wait(time.Hour))
	var descs [1]xsk.Desc
	s.Receive(descs[:])
	go k.Deliver(make([]byte, 60))
	must(t, s.Wait(time.Hour))
	if s.Receive(descs[:]) != 1 {
		t.Error("woken, but nothing to receive")
	}
	// What arrived before the end is still received, then the end is told.
	k.Deliver(make([]byte, 60))
	k.Remove()
	must(t, s.Wait(time.Hour))
	s.Receive(descs[:])
	for range 2 {
		if err := s.Wait(time.Hour); !errors.Is(err, xsk.ErrGone) {
			t.Errorf("Wait: %v", err)
		}
	}
}
