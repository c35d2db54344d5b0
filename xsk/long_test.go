package xsk_test

import (
	"bytes"
	"testing"

	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// receiveOne receives the one packet that there is.
func receiveOne(t *testing.T, s *xsk.Socket, want []byte) xsk.Desc {
	t.Helper()
	var descs [16]xsk.Desc
	if n := s.Receive(descs[:]); n != 1 || !bytes.Equal(s.UMEM().Frame(descs[0]), want) {
		t.Fatalf("received %d packets, the first of %d bytes; want one of %d", n, descs[0].Len, len(want))
	}
	return descs[0]
}

func TestLongIsDropped(t *testing.T) {
	k := xsktest.NewMultiBuffer(xsktest.Today, 256, 2048, 64)
	s, short, long := k.Socket(), []byte("short"), bytes.Repeat([]byte("long"), 2000)
	lost := uint64(0)
	mustLose := func(why string) {
		t.Helper()
		lost++
		k.Deliver(short)
		s.Release([]xsk.Desc{receiveOne(t, s, short)})
		if st, err := s.Statistics(); err != nil || st.RxPieces != lost || st.Refused != 0 {
			t.Errorf("%s: %+v, %v, want %d lost", why, st, err, lost)
		}
	}

	k.Deliver(make([]byte, 20000))
	mustLose("too long")

	var taken []xsk.Desc
	for {
		d, ok := s.AllocateLong()
		if !ok {
			break
		}
		taken = append(taken, d)
	}
	k.Deliver(long)
	mustLose("no place is left")

	s.Release(taken)
	if n := s.UMEM().Long(); n != 0 {
		t.Errorf("%d places are taken of those that were released", n)
	}
	s.Recycle()
	k.Deliver(long)
	s.Release([]xsk.Desc{receiveOne(t, s, long)})
	if a := s.Account(); a.Held != 0 || s.UMEM().Long() != 0 {
		t.Errorf("left behind: %+v, %d places", a, s.UMEM().Long())
	}
}

// What is wrong with a long packet is refused, as it is with others; and what is sent from its
// place may be short.
func TestLongIsRefused(t *testing.T) {
	k := xsktest.NewMultiBuffer(xsktest.Today, 256, 2048, 64)
	s := k.Socket()
	d, _ := s.AllocateLong()
	for _, bad := range []func(*xsk.Desc){
		func(d *xsk.Desc) { d.Len = 0 }, func(d *xsk.Desc) { d.Len++ }, func(d *xsk.Desc) { d.Options = 1 },
	} {
		wrong := d
		bad(&wrong)
		if n := s.Transmit([]xsk.Desc{wrong}); n != 1 || s.Pending() != 0 {
			t.Errorf("%+v: %d taken, %d on the ring", wrong, n, s.Pending())
		}
		d, _ = s.AllocateLong()
	}
	copy(s.UMEM().Frame(d), "an answer")
	d.Len = uint32(len("an answer"))
	if n := s.Transmit([]xsk.Desc{d, d}); n != 2 {
		t.Errorf("%d of 2 taken", n)
	}
	s.Release([]xsk.Desc{d})
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if sent := k.Sent(); len(sent) != 1 || string(sent[0]) != "an answer" {
		t.Errorf("sent %q", sent)
	}
	if st, err := s.Statistics(); err != nil || st.Refused != 5 {
		t.Errorf("%+v, %v, want three bad ones refused, and one that was sent already, twice", st, err)
	}
	if err := k.Err(); err != nil || s.UMEM().Long() != 0 {
		t.Errorf("%v, %d places", err, s.UMEM().Long())
	}
}

// A packet of which a part has come is nobody's when the socket closes, and its place is
// another's that shares the UMEM.
func TestLongIsCutOffByClose(t *testing.T) {
	k := xsktest.NewMultiBuffer(xsktest.Today, 256, 2048, 64)
	other := k.Share(64)
	other.Socket().Recycle()
	other.Buffer()
	other.PushPiece(1000)
	other.Publish()
	s := other.Socket()
	if n := s.Receive(make([]xsk.Desc, 8)); n != 0 || s.UMEM().Long() != 1 {
		t.Fatalf("%d received, %d places", n, s.UMEM().Long())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if n := k.Socket().UMEM().Long(); n != 0 {
		t.Errorf("%d places are taken", n)
	}
	d, _ := k.Socket().AllocateLong()
	if err := k.Socket().Close(); err != nil {
		t.Fatal(err)
	}
	k.Socket().Release([]xsk.Desc{d})
	k.Socket().Transmit([]xsk.Desc{d})
}

// TestLongWithoutPlaces: a socket for packets of one frame has none.
func TestLongWithoutPlaces(t *testing.T) {
	s := xsktest.New(256, 2048, 64).Socket()
	if d, ok := s.AllocateLong(); ok || s.UMEM().Long() != 0 || s.Info().MultiBuffer {
		t.Errorf("%+v", d)
	}
}
