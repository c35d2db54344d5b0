package xsk_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/testutil"
	"github.com/afxlb/afxlb/xsk"
)

// arm is an interface with a socket, and what is at the other end of its wire.
type arm struct {
	near   netlink.Link
	socket *xsk.Socket
	far    int // raw socket
}

// newArm makes the pair v0 and v1, or w0 and w1, with a socket on queue 0 of the near end.
func newArm(t testing.TB, letter string, c xsk.Config) *arm {
	t.Helper()
	near, far := addPair(t, letter+"0", letter+"1", 1)
	waitUp(t, near)
	a := &arm{near: near, far: rawSocket(t, far)}
	c.Interface = near.Attrs().Name
	a.socket = open(t, c)
	enter(t, redirect(t, near), a.socket)
	return a
}

// cross sends packets by one arm's wire, and has what comes leave by the other's.
func cross(t testing.TB, from, to *arm, first, n uint64) {
	t.Helper()
	var buf [2048]byte
	for number := first; number < first+n; number++ {
		want := frame(number, 60+int(number)%1400)
		if _, err := unix.Write(from.far, want); err != nil {
			t.Fatal(err)
		}
		forward(t, from, to)
		if got, err := receive(to.far, buf[:]); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("packet %d of %d bytes: %d bytes arrive, %v", number, len(want), len(got), err)
		}
	}
}

// forward awaits a packet on one arm and sends it by the other, without a copy.
func forward(t testing.TB, from, to *arm) {
	t.Helper()
	var descs [1]xsk.Desc
	for deadline := time.Now().Add(10 * time.Second); from.socket.Receive(descs[:]) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("nothing received")
		}
		must(t, from.socket.Wait(time.Second))
	}
	if n := to.socket.Transmit(descs[:]); n != 1 {
		t.Fatalf("transmitted %d", n)
	}
	must(t, to.socket.Flush())
	from.socket.Recycle()
	to.socket.Recycle()
}

// TestTwoArms: frames cross between interfaces without a copy, both ways, over many more
// packets than there are frames, and all are accounted for.
func TestTwoArms(t *testing.T) {
	inNetns(t)
	v := newArm(t, "v", xsk.Config{RingSize: 32, Frames: 192})
	w := newArm(t, "w", xsk.Config{RingSize: 64, Share: v.socket})
	if v.socket.UMEM() != w.socket.UMEM() || !w.socket.Info().Shared || v.socket.Info().Shared {
		t.Errorf("%+v and %+v", v.socket.Info(), w.socket.Info())
	}
	if got := w.socket.Info(); got.Frames != 192 || got.FrameSize != 2048 || !strings.Contains(got.WhyCopy, "queue 0 of v0") {
		t.Errorf("%+v", got)
	}
	if a, want := v.socket.Account(), (xsk.Account{Free: 96, Filled: 96}); a != want {
		t.Errorf("opened with %+v, want both FILL rings full: %+v", a, want)
	}
	cross(t, v, w, 1, 300)
	cross(t, w, v, 1000, 300)
	for _, s := range []*xsk.Socket{v.socket, w.socket} {
		st, err := s.Statistics()
		if err != nil || st.Refused != 0 || st.Strays != 0 || st.RxInvalid != 0 || st.TxInvalid != 0 {
			t.Errorf("%+v, %v", st, err)
		}
	}
	if a := v.socket.Account(); a.Held != 0 || a.Total() != 192 {
		t.Errorf("%+v", a)
	}
}

// TestOneArmCloses: whichever is closed first, the other goes on with the frames, and a new
// socket on the queue has them again.
func TestOneArmCloses(t *testing.T) {
	for _, first := range []string{"v", "w"} {
		inNetns(t)
		v := newArm(t, "v", xsk.Config{RingSize: 32})
		w := newArm(t, "w", xsk.Config{RingSize: 32, Share: v.socket})
		gone, stays := v, w
		if first == "w" {
			gone, stays = w, v
		}
		cross(t, gone, stays, 1, 5)
		must(t, gone.socket.Close())
		cross(t, stays, stays, 100, 100)
		if a := stays.socket.Account(); a.Total() != 128 || a.Filled < 64 {
			t.Errorf("%s closed: %+v, want what the kernel had to be accounted as its", first, a)
		}
		again := open(t, xsk.Config{Interface: gone.near.Attrs().Name, RingSize: 32, Share: stays.socket})
		if a := stays.socket.Account(); a.Total() != 128 || a.Filled != 64 {
			t.Errorf("%s open again: %+v", first, a)
		}
		gone.socket = again
		cross(t, stays, gone, 1000, 100)
	}
}

// TestOneArmGone: the frames of an interface that was removed are free again.
func TestOneArmGone(t *testing.T) {
	inNetns(t)
	v := newArm(t, "v", xsk.Config{RingSize: 32})
	w := newArm(t, "w", xsk.Config{RingSize: 32, Share: v.socket})
	cross(t, v, w, 1, 50)
	must(t, netlink.LinkDel(w.near))
	var descs [1]xsk.Desc
	if _, err := unix.Write(v.far, frame(7, 60)); err != nil {
		t.Fatal(err)
	}
	for v.socket.Receive(descs[:]) == 0 {
		must(t, v.socket.Wait(time.Second))
	}
	w.socket.Transmit(descs[:])
	if err := w.socket.Flush(); !errors.Is(err, xsk.ErrGone) {
		t.Errorf("%v, want ErrGone", err)
	}
	must(t, w.socket.Close())
	v.socket.Recycle()
	if a, want := v.socket.Account(), (xsk.Account{Free: 96, Filled: 32}); a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
	cross(t, v, v, 100, 200)
	w = newArm(t, "w", xsk.Config{RingSize: 32, Share: v.socket})
	cross(t, v, w, 1000, 50)
}

// TestSender: a socket without a queue sends what others received.
func TestSender(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		v := newArm(t, "v", xsk.Config{RingSize: 32, Driver: driver})
		near, far := addPair(t, "w0", "w1", 1)
		waitUp(t, near)
		s, err := xsk.OpenSender("w0", v.socket)
		must(t, err)
		w := &arm{near: near, socket: s, far: rawSocket(t, far)}
		if got := s.Info(); got.Queue != xsk.NoQueue || !got.Detour || !got.Shared {
			t.Errorf("%+v", got)
		}
		cross(t, v, w, 1, 200)
		if _, err := s.Statistics(); err != nil {
			t.Error(err)
		}
		must(t, s.Close())
		cross(t, v, v, 1000, 5)
		if _, err := xsk.OpenSender("w7", v.socket); !errors.Is(err, xsk.ErrNoInterface) {
			t.Errorf("%v", err)
		}
		must(t, v.socket.Close())
		if _, err := xsk.OpenSender("w0", v.socket); !errors.Is(err, xsk.ErrClosed) {
			t.Errorf("%v", err)
		}
	})
}

// TestShareErrors: what can't share says why, and leaves the others as they were.
func TestShareErrors(t *testing.T) {
	inNetns(t)
	addVeth(t, 2)
	big, _ := addPair(t, "w0", "w1", 1)
	must(t, netlink.LinkSetMTU(big, 3000))
	first := open(t, xsk.Config{Interface: "v0", RingSize: 64})
	closed, err := xsk.Open(xsk.Config{Interface: "v0", Queue: 1, RingSize: 64})
	must(t, err)
	must(t, closed.Close())
	for _, test := range []struct {
		name   string
		config xsk.Config
		is     error
		says   string
	}{
		{"asavie", xsk.Config{Interface: "v0", Queue: 1, Driver: xsk.DriverAsavie, Share: first}, xsk.ErrNotSupported, "driver native can share them"},
		{"zero-copy", xsk.Config{Interface: "v0", Queue: 1, Mode: xsk.ModeZeroCopy, Share: first}, xsk.ErrNotSupported, "mode zero-copy where the frames are used in copy"},
		{"MTU", xsk.Config{Interface: "w0", Share: first}, xsk.ErrNotSupported, "an MTU of 3000 does not fit into frames of 2048 bytes"},
		{"the same queue", xsk.Config{Interface: "v0", Share: first}, xsk.ErrBusy, "queue 0 of v0"},
		{"closed", xsk.Config{Interface: "v0", Queue: 1, Share: closed}, xsk.ErrClosed, "queue 1 of v0"},
		{"no queue", xsk.Config{Interface: "v0", Queue: 2, Share: first}, xsk.ErrNoQueue, "v0 has 2"},
	} {
		test.config.RingSize = 64
		s, err := xsk.Open(test.config)
		if err == nil {
			s.Close()
		}
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v; want %v that says %q", test.name, err, test.is, test.says)
		}
	}
	if a := first.Account(); a.Total() != 256 || a.Filled != 64 {
		t.Errorf("after all that: %+v", a)
	}
	second := open(t, xsk.Config{Interface: "v0", Queue: 1, RingSize: 64, Share: first})
	if a := second.Account(); a.Filled != 128 {
		t.Errorf("another queue of the interface: %+v", a)
	}
	// Frames that are made for the largest MTU can be shared.
	large := open(t, xsk.Config{Interface: "v1", RingSize: 64, MTU: 3000})
	if got := open(t, xsk.Config{Interface: "w0", RingSize: 64, Share: large}).Info(); got.FrameSize != 4096 {
		t.Errorf("%+v", got)
	}
}

// TestShareAsavieFirst: the other driver's frames are not shared either.
func TestShareAsavieFirst(t *testing.T) {
	testutil.RequireLinux(t, 6, 4, "rings that can be mapped once the socket is bound")
	inNetns(t)
	addVeth(t, 2)
	first := open(t, xsk.Config{Interface: "v0", RingSize: 64, Driver: xsk.DriverAsavie})
	if _, err := xsk.Open(xsk.Config{Interface: "v0", Queue: 1, RingSize: 64, Share: first}); !errors.Is(err, xsk.ErrNotSupported) {
		t.Errorf("%v", err)
	}
}
