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
func load(t *testing.T, linux xsktest.Linux, ring uint32, n int) (*xsktest.Kernel, *xsk.Socket) {
	t.Helper()
	k := xsktest.NewAs(linux, 4*ring, 2048, ring)
	give(t, k.Socket(), n)
	return k, k.Socket()
}

// give puts n packets more on the TX ring.
func give(t *testing.T, s *xsk.Socket, n int) {
	t.Helper()
	descs := make([]xsk.Desc, n)
	if got := s.Allocate(descs); got != n {
		t.Fatalf("allocated %d, want %d", got, n)
	}
	for i := range descs {
		descs[i].Len = 60
	}
	if got := s.Transmit(descs); got != n {
		t.Fatalf("transmitted %d, want %d; %d pending", got, n, s.Pending())
	}
}

// eachLinux runs a test against each kernel that sends in the system call.
func eachLinux(t *testing.T, f func(t *testing.T, linux xsktest.Linux)) {
	for _, linux := range xsktest.CopyModes {
		t.Run(linux.String(), func(t *testing.T) { f(t, linux) })
	}
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
		{name: "ENOBUFS", answers: []unix.Errno{unix.ENOBUFS}, pending: 8, kicks: 1, again: 1},
		{name: "ENETDOWN", answers: []unix.Errno{unix.ENETDOWN}, is: xsk.ErrLinkDown, pending: 8, kicks: 1},
		{name: "ENXIO", answers: []unix.Errno{unix.ENXIO}, is: xsk.ErrGone, pending: 8, kicks: 1},
		{name: "EINVAL", answers: []unix.Errno{unix.EINVAL}, is: xsk.ErrLinkDown, pending: 8, kicks: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			k, s := load(t, xsktest.Linux61, 16, 8)
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
	k, s := load(t, xsktest.Today, 16, 8)
	must(t, s.Flush())
	before := k.SentCount()
	must(t, s.Flush())
	if st, _ := s.Statistics(); st.Kicks != 1 || k.SentCount() != before {
		t.Errorf("%d kicks, want none with nothing on the ring", st.Kicks-1)
	}
}

// TestFlushNoWakeup: a kernel that did not ask for it is not called.
func TestFlushNoWakeup(t *testing.T) {
	k, s := load(t, xsktest.Today, 16, 8)
	k.SetNeedWakeup(false)
	must(t, s.Flush())
	if st, _ := s.Statistics(); st.Kicks != 0 {
		t.Errorf("%d kicks", st.Kicks)
	}
	if errno := k.Transmit(); errno != 0 || s.Pending() != 0 {
		t.Errorf("the driver took the ring: errno %d, %d pending", errno, s.Pending())
	}
}

// TestFlushZeroCopy: a zero-copy driver is shown all there is, and woken once; it sends
// when it gets to it. An errno of its own is no loss.
func TestFlushZeroCopy(t *testing.T) {
	k, s := load(t, xsktest.ZeroCopy, 256, 200)
	must(t, s.Flush())
	if st, _ := s.Statistics(); st.Kicks != 1 || s.Pending() != 200 {
		t.Errorf("%d kicks, %d pending; want 1 and, with the driver not yet run, 200", st.Kicks, s.Pending())
	}
	k.Transmit()
	must(t, s.Flush())
	if st, _ := s.Statistics(); st.Kicks != 1 || s.Pending() != 0 || k.SentCount() != 200 {
		t.Errorf("%d kicks, %d pending, %d sent; want 1, 0, 200", st.Kicks, s.Pending(), k.SentCount())
	}
	give(t, s, 5)
	k.Answer(unix.EAGAIN, unix.ENOBUFS, unix.EBUSY, unix.EINTR)
	for range 4 {
		must(t, s.Flush())
	}
	k.Answer(unix.ENETDOWN, unix.EINVAL)
	for range 2 {
		if err := s.Flush(); !errors.Is(err, xsk.ErrLinkDown) {
			t.Errorf("Flush: %v, want %v", err, xsk.ErrLinkDown)
		}
	}
	if st, _ := s.Statistics(); st.Kicks != 7 || st.Again != 3 || st.TxDropped != 0 {
		t.Errorf("%+v: want 7 kicks, 3 again, none dropped", st)
	}
}

// TestFlushBudget: a kernel that takes 32 packets a call is called until all are gone.
func TestFlushBudget(t *testing.T) {
	eachLinux(t, func(t *testing.T, linux xsktest.Linux) {
		k, s := load(t, linux, 256, 200)
		k.SetBudget(32)
		must(t, s.Flush())
		st, _ := s.Statistics()
		if s.Pending() != 0 || st.Kicks != 7 || k.SentCount() != 200 {
			t.Errorf("%d pending, %d kicks, %d sent; want 0, 7, 200", s.Pending(), st.Kicks, k.SentCount())
		}
	})
}

// TestFlushDropped: an interface that refuses packets costs a call each, and no more
// than the bound. Each is counted, whatever the kernel says of it.
func TestFlushDropped(t *testing.T) {
	type outcome struct{ dropped, pending int }
	eachLinux(t, func(t *testing.T, linux xsktest.Linux) {
		want := map[xsktest.Linux]outcome{
			xsktest.Today:    {256, 300 - 256},
			xsktest.Linux617: {256, 300},       // told of when all are used up
			xsktest.Linux61:  {249, 300 - 224}, // each 33rd call tells of the 32 before it
		}[linux]
		k, s := load(t, linux, 1024, 300)
		k.Drop(300)
		must(t, s.Flush())
		st, _ := s.Statistics()
		got := outcome{int(st.TxDropped), int(s.Pending())}
		if got != want || st.Kicks != 256 {
			t.Errorf("%+v in %d kicks, want %+v in 256", got, st.Kicks, want)
		}
		must(t, s.Flush())
		if st, _ := s.Statistics(); st.TxDropped != 300 || s.Pending() != 0 {
			t.Errorf("%+v, %d pending; want 300 dropped, 0 pending", st, s.Pending())
		}
		s.Recycle()
		if a := s.Account(); a.Transmit != 0 {
			t.Errorf("%+v: dropped packets did not come back", a)
		}
	})
}

// TestFlushCarrierAway: a worker goes on sending into an interface that refuses all.
// Each packet finds room on the ring and is counted as refused, and with the carrier
// back each is sent.
func TestFlushCarrierAway(t *testing.T) {
	const batch, batches = 64, 80
	eachLinux(t, func(t *testing.T, linux xsktest.Linux) {
		k := xsktest.NewAs(linux, 1024, 2048, 256)
		s := k.Socket()
		turn := func() {
			give(t, s, batch)
			must(t, s.Flush())
			s.Recycle()
		}
		k.Drop(batch * batches)
		for range batches {
			turn()
		}
		if st, _ := s.Statistics(); st.TxDropped != batch*batches || s.Pending() != 0 || k.SentCount() != 0 {
			t.Errorf("%+v, %d pending, %d sent; want %d dropped, nothing else", st, s.Pending(), k.SentCount(), batch*batches)
		}
		for range batches {
			turn()
		}
		if k.SentCount() != batch*batches {
			t.Errorf("%d sent of %d after the carrier was back", k.SentCount(), batch*batches)
		}
	})
}

// TestFlushCompletionRingFull: want of room on the COMPLETION ring goes away by draining
// it, which Flush must do itself.
func TestFlushCompletionRingFull(t *testing.T) {
	eachLinux(t, func(t *testing.T, linux xsktest.Linux) {
		k, s := load(t, linux, 16, 16)
		must(t, s.Flush()) // 16 completions now wait on a ring of 16
		give(t, s, 16)
		must(t, s.Flush())
		if got := s.Pending(); got != 0 {
			t.Errorf("%d pending behind a full COMPLETION ring", got)
		}
		if got := k.SentCount(); got != 32 {
			t.Errorf("%d sent, want 32", got)
		}
	})
}

// TestFlushSlowPeer: with completions withheld, the TX ring fills up and stays.
func TestFlushSlowPeer(t *testing.T) {
	eachLinux(t, func(t *testing.T, linux xsktest.Linux) {
		k, s := load(t, linux, 16, 16)
		k.Hold(true)
		must(t, s.Flush()) // all entries of the COMPLETION ring are reserved now
		give(t, s, 16)
		must(t, s.Flush())
		if a := s.Account(); s.Pending() != 16 || a.Transmit != 32 {
			t.Errorf("%d pending, %+v; want 16, 32 in transmit", s.Pending(), a)
		}
		before, _ := s.Statistics()
		must(t, s.Flush())
		if after, _ := s.Statistics(); after.Kicks != before.Kicks+2 {
			t.Errorf("%d kicks of a flush that can do nothing, want 2", after.Kicks-before.Kicks)
		}
		k.Complete(3)
		must(t, s.Flush())
		want := uint32(16 - 3)
		if linux == xsktest.Linux61 {
			want = 16 // it does not tell of the three
		}
		if got := s.Pending(); got != want || k.SentCount() != 19 {
			t.Errorf("%d pending, %d sent after 3 completions, want %d, 19", got, k.SentCount(), want)
		}
		k.Hold(false)
		must(t, s.Flush())
		if got := s.Pending(); got != 0 {
			t.Errorf("%d pending after all completions", got)
		}
	})
}

func TestFlushGoneForGood(t *testing.T) {
	k, s := load(t, xsktest.Today, 16, 8)
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
