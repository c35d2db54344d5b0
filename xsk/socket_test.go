package xsk_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// TestTransmitRefuses: whatever a caller hands in, nothing invalid gets on the ring,
// the valid ones keep their order, and no frame is lost.
func TestTransmitRefuses(t *testing.T) {
	const frames = 64
	for _, test := range []struct {
		name  string
		spoil func(d *xsk.Desc)
		freed bool // the frame was the caller's, and is free now
	}{
		{"empty", func(d *xsk.Desc) { d.Len = 0 }, true},
		{"one byte too long", func(d *xsk.Desc) { d.Len = 2048 - 256 + 1 }, true},
		{"length wraps", func(d *xsk.Desc) { d.Len = ^uint32(0) }, true},
		{"options", func(d *xsk.Desc) { d.Options = 1 }, true},
		{"next to the end", func(d *xsk.Desc) { d.Addr = d.Addr&^2047 + 2047; d.Len = 2 }, true},
		{"outside", func(d *xsk.Desc) { d.Addr = frames * 2048 }, false},
		{"far outside", func(d *xsk.Desc) { d.Addr = 1 << 63 }, false},
		{"address wraps", func(d *xsk.Desc) { d.Addr = ^uint64(0) }, false},
		{"on the FILL ring", func(d *xsk.Desc) { d.Addr = 0 }, false},
		{"free", func(d *xsk.Desc) { d.Addr = (frames - 1) * 2048 }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := xsktest.New(frames, 2048, 16)
			s := k.Socket()
			descs := make([]xsk.Desc, 3)
			if s.Allocate(descs) != 3 {
				t.Fatal("no frames")
			}
			for i := range descs {
				descs[i].Len = uint32(100 + i)
			}
			before, whole := s.Account(), descs[1]
			test.spoil(&descs[1])
			if n := s.Transmit(descs); n != 3 {
				t.Fatalf("Transmit = %d, want 3", n)
			}
			want := xsk.Account{Free: before.Free, Filled: before.Filled, Held: 1, Transmit: 2}
			if test.freed {
				want.Free, want.Held = before.Free+1, 0
			}
			if a := s.Account(); a != want {
				t.Errorf("%+v, want %+v", a, want)
			}
			must(t, s.Flush())
			sent := k.Sent()
			if len(sent) != 2 || len(sent[0]) != 100 || len(sent[1]) != 102 {
				t.Errorf("sent %d packets, want the first and the third", len(sent))
			}
			s.Release([]xsk.Desc{whole})
			refused := uint64(1)
			if test.freed {
				refused++ // it was free already
			}
			if st, _ := s.Statistics(); st.Refused != refused {
				t.Errorf("%d refused, want %d", st.Refused, refused)
			}
			must(t, k.Err())
		})
	}
}

// TestTransmitTwice: a frame in two descriptors of a batch is sent once.
func TestTransmitTwice(t *testing.T) {
	k := xsktest.New(64, 2048, 16)
	s := k.Socket()
	var d [2]xsk.Desc
	s.Allocate(d[:1])
	d[1] = d[0]
	if n := s.Transmit(d[:]); n != 2 {
		t.Fatalf("Transmit = %d", n)
	}
	must(t, s.Flush())
	if n := k.SentCount(); n != 1 {
		t.Errorf("sent %d times", n)
	}
	must(t, k.Err())
}

// TestFullRings: what does not fit stays where it was.
func TestFullRings(t *testing.T) {
	k := xsktest.New(128, 2048, 16)
	s := k.Socket()
	received := 0
	for k.Deliver(make([]byte, 60)) {
		received++
		s.Recycle()
	}
	if received != 16 {
		t.Errorf("%d packets fitted on an RX ring of 16", received)
	}
	if st, _ := s.Statistics(); st.RxRingFull != 1 {
		t.Errorf("%+v: want one packet dropped at the RX ring", st)
	}
	var descs [40]xsk.Desc
	n := s.Receive(descs[:])
	n += s.Allocate(descs[n:])
	if n != len(descs) {
		t.Fatalf("%d frames, want %d", n, len(descs))
	}
	if took := s.Transmit(descs[:]); took != 16 {
		t.Errorf("%d packets fitted on a TX ring of 16", took)
	}
	if took := s.Transmit(descs[16:]); took != 0 {
		t.Errorf("%d more packets fitted on a full ring", took)
	}
	if a := s.Account(); a.Held != 24 || a.Transmit != 16 || a.Total() != 128 {
		t.Errorf("%+v, want 24 held and 16 in transmit", a)
	}
}

// TestPieces: no piece of a packet in several frames is taken for a packet, however the
// batches fall; the packet is counted once, and its frames are free again.
func TestPieces(t *testing.T) {
	const more, whole = true, false // what the descriptor says
	pieces := []struct {
		b    byte
		more bool
	}{
		{1, whole}, {0, more}, {0, more}, {0, whole}, {2, whole}, {0, more}, {0, whole},
		{0, more}, {0, whole}, {3, whole}, {0, more}, {0, whole}, {4, whole},
	}
	for _, batch := range []int{1, 2, 3, 16} {
		k := xsktest.NewAs(xsktest.ZeroCopy, 64, 2048, 16)
		s := k.Socket()
		descs := make([]xsk.Desc, batch)
		var got []byte
		for i, p := range pieces {
			k.Buffer()[0] = p.b
			if p.more {
				k.PushPiece(60)
			} else {
				k.Push(60)
			}
			if i%batch != batch-1 && i != len(pieces)-1 {
				continue
			}
			k.Publish()
			n := s.Receive(descs)
			for _, d := range descs[:n] {
				got = append(got, s.UMEM().Frame(d)[0])
			}
			s.Release(descs[:n])
		}
		if !bytes.Equal(got, []byte{1, 2, 3, 4}) {
			t.Errorf("batches of %d: received %v, want 1 2 3 4", batch, got)
		}
		if st, _ := s.Statistics(); st.RxPieces != 4 || st.Strays != 0 || st.Refused != 0 {
			t.Errorf("batches of %d: %+v, want 4 packets in pieces", batch, st)
		}
		if a, want := s.Account(), (xsk.Account{Free: 64 - 3, Filled: 3}); a != want {
			t.Errorf("batches of %d: %+v, want %+v", batch, a, want)
		}
		s.Recycle()
		must(t, k.Err())
	}
}

// TestFillStarved: with all frames elsewhere there is nothing to receive into, and with
// the frames receiving resumes.
func TestFillStarved(t *testing.T) {
	k := xsktest.New(16, 2048, 16)
	s := k.Socket()
	var descs [16]xsk.Desc
	for range 16 {
		if !k.Deliver(make([]byte, 60)) {
			t.Fatal("dropped with frames left")
		}
	}
	s.Receive(descs[:])
	s.Recycle()
	if k.Deliver(make([]byte, 60)) {
		t.Fatal("received into no frame")
	}
	if st, _ := s.Statistics(); st.RxDropped != 1 || st.FillRingEmpty != 1 {
		t.Errorf("%+v: want one packet dropped for want of a frame", st)
	}
	s.Release(descs[:1])
	s.Recycle()
	if !k.Deliver(make([]byte, 60)) {
		t.Error("dropped with a frame given back")
	}
}

// TestFillWakeup: a driver that sleeps for want of frames is woken, one that does not
// is left alone.
func TestFillWakeup(t *testing.T) {
	k := xsktest.New(64, 2048, 16)
	k.Socket().Recycle()
	if n := k.Wakes(); n != 0 {
		t.Errorf("woken %d times without asking", n)
	}
	k.SetFillWakeup(true)
	k.Socket().Recycle()
	if n := k.Wakes(); n != 1 {
		t.Errorf("woken %d times, want 1", n)
	}
}

// TestRoomAround: a received packet may be sent from further front and with more at its
// end, as encapsulation needs.
func TestRoomAround(t *testing.T) {
	k := xsktest.New(64, 2048, 16)
	s := k.Socket()
	k.Deliver([]byte("inner"))
	var d [1]xsk.Desc
	s.Receive(d[:])
	if c := cap(s.UMEM().Frame(d[0])); c != 2048-256 {
		t.Errorf("capacity %d, want to the end of the frame", c)
	}
	d[0].Addr -= 256
	d[0].Len += 256
	f := s.UMEM().Frame(d[0])
	copy(f, "outer")
	f = append(f, "tail"...)
	d[0].Len = uint32(len(f))
	s.Transmit(d[:])
	must(t, s.Flush())
	sent := k.Sent()
	if len(sent) != 1 || !bytes.HasPrefix(sent[0], []byte("outer")) || !bytes.HasSuffix(sent[0], []byte("innertail")) {
		t.Errorf("sent %q", sent)
	}
}

// TestConcurrentKernel has the kernel receive, send and complete on other goroutines
// than the owner's, as real ones do, for the race detector to look at.
func TestConcurrentKernel(t *testing.T) {
	const total = 20_000
	k := xsktest.New(96, 2048, 32)
	k.SetNeedWakeup(false)
	k.Hold(true)
	s := k.Socket()
	stop := make(chan struct{})
	done := make(chan struct{}, 2)
	go func() { // the sender's softirq
		defer func() { done <- struct{}{} }()
		p := make([]byte, 60)
		for i := uint64(0); i < total; {
			binary.BigEndian.PutUint64(p, i)
			if k.Deliver(p) {
				i++
			} else {
				runtime.Gosched()
			}
		}
	}()
	go func() { // the driver
		defer func() { done <- struct{}{} }()
		for {
			k.Transmit()
			k.Complete(7)
			select {
			case <-stop:
				return
			default:
				runtime.Gosched()
			}
		}
	}()
	var descs [24]xsk.Desc
	for next := uint64(0); next < total; {
		n := s.Receive(descs[:])
		for _, d := range descs[:n] {
			if got := binary.BigEndian.Uint64(s.UMEM().Frame(d)); got != next {
				t.Fatalf("packet %d, want %d", got, next)
			}
			next++
		}
		for rest := descs[:n]; len(rest) > 0; runtime.Gosched() {
			rest = rest[s.Transmit(rest):]
			s.Recycle()
		}
		s.Recycle()
		if n == 0 {
			runtime.Gosched()
		}
	}
	for s.Account().Transmit > 0 {
		s.Recycle()
		runtime.Gosched()
	}
	close(stop)
	<-done
	<-done
	must(t, k.Err())
	sent := k.Sent()
	if len(sent) != total {
		t.Fatalf("%d packets sent, want %d", len(sent), total)
	}
	for i, p := range sent {
		if got := binary.BigEndian.Uint64(p); got != uint64(i) {
			t.Fatalf("packet %d sent in place of %d", got, i)
		}
	}
	if a := s.Account(); a.Free+a.Filled != 96 {
		t.Errorf("%+v after all came back", a)
	}
}
