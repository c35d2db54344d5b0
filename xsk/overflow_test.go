package xsk_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/xsk"
)

// TestOverflow has nobody receive while packets keep coming: first the FILL ring runs
// dry, then, with frames to spare, the RX ring is full. The kernel counts both, and
// with a receiver all goes on.
func TestOverflow(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		v0, v1 := addVeth(t, 1)
		sockets := redirect(t, v0)
		s := open(t, xsk.Config{Interface: "v0", Driver: driver, Frames: 256, RingSize: 64})
		enter(t, sockets, s)
		peer := rawSocket(t, v1)
		number := uint64(0)

		// Sent few at a time, for veth's own ring not to overflow instead. The send
		// returns after the receiving softirq, or wakes it: Wait lets it run.
		overflow := func(full func(xsk.Statistics) bool) {
			for range 1000 {
				blast(peer, &number, 64)
				must(t, s.Wait(0))
				st, err := s.Statistics()
				must(t, err)
				if full(st) {
					return
				}
			}
			t.Fatal("64,000 packets overflowed nothing")
		}
		overflow(func(st xsk.Statistics) bool { return st.FillRingEmpty > 0 && st.RxDropped > 0 })
		s.Recycle()
		overflow(func(st xsk.Statistics) bool { return st.RxRingFull > 0 })
		if a := s.Account(); a.Held != 0 || a.Total() != 256 {
			t.Errorf("%+v", a)
		}
		settle(t, s)
		startEcho(t, s, nil)
		exchange(t, peer, &number, 200)
	})
}

// TestLongestPacket fills a ring with packets that fill their frames: each is whole, as
// is its neighbour. A byte more, and the kernel drops the packet.
func TestLongestPacket(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		v0, v1 := addVeth(t, 1)
		must(t, errors.Join(netlink.LinkSetMTU(v0, 2500), netlink.LinkSetMTU(v1, 2500)))
		sockets := redirect(t, v0)
		s := open(t, xsk.Config{Interface: "v0", Driver: driver, Frames: 128, FrameSize: 2048, RingSize: 64})
		enter(t, sockets, s)
		peer := rawSocket(t, v1)

		longest := s.Info().MaxPacket
		for number := range uint64(64) {
			must(t, unix.Send(peer, frame(number, longest), 0))
			must(t, unix.Send(peer, frame(number, longest+1), 0))
		}
		var descs [64]xsk.Desc
		got := 0
		for range 100 {
			if got += s.Receive(descs[got:]); got == len(descs) {
				break
			}
			must(t, s.Wait(100*time.Millisecond))
		}
		if got != len(descs) {
			t.Fatalf("received %d packets of %d bytes, want %d", got, longest, len(descs))
		}
		for number, d := range descs {
			if !bytes.Equal(s.UMEM().Frame(d), frame(uint64(number), longest)) {
				t.Errorf("packet %d, at %#x, is not as it was sent", number, d.Addr)
			}
		}
		st, err := s.Statistics()
		must(t, err)
		if st.RxDropped != 64 {
			t.Errorf("%d dropped, want the 64 that are too long", st.RxDropped)
		}
	})
}

// TestStatisticsWhileRunning reads the counters beside a busy owner, for the race
// detector.
func TestStatisticsWhileRunning(t *testing.T) {
	inNetns(t)
	v0, v1 := addVeth(t, 1)
	sockets := redirect(t, v0)
	s := open(t, xsk.Config{Interface: "v0", RingSize: 64})
	enter(t, sockets, s)
	peer := rawSocket(t, v1)
	e := startEcho(t, s, nil)
	number := uint64(0)
	for range 20 {
		exchange(t, peer, &number, 10)
		_, err := s.Statistics()
		must(t, err)
	}
	e.end(t)
	if st, err := s.Statistics(); err != nil || st.Kicks == 0 {
		t.Errorf("%+v, %v", st, err)
	}
}
