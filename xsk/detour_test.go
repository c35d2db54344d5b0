package xsk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/xsk"
)

// A queue that can only receive: its interface has two of that kind and sends by one.
func addReceiver(t testing.TB) (v0, v1 netlink.Link) {
	t.Helper()
	inNetns(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.NumRxQueues, attrs.NumTxQueues = "v0", 2, 1
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "v1", PeerNumRxQueues: 1, PeerNumTxQueues: 2}))
	v0, v1 = linkByName(t, "v0"), linkByName(t, "v1")
	must(t, netlink.LinkSetUp(v0))
	must(t, netlink.LinkSetUp(v1))
	waitUp(t, v0)
	return v0, v1
}

// sendNumbered sends n packets, the first with the number, and returns how many were taken; the
// frames of the others are given back.
func sendNumbered(t testing.TB, s *xsk.Socket, number uint64, n, length int) (taken int, err error) {
	t.Helper()
	descs := make([]xsk.Desc, n)
	if got := s.Allocate(descs); got != n {
		t.Fatalf("%d of %d frames", got, n)
	}
	for i := range descs {
		descs[i].Len = uint32(length)
		fillFrame(s.UMEM().Frame(descs[i]), number+uint64(i))
	}
	taken = s.Transmit(descs)
	err = s.Flush()
	s.Release(descs[taken:])
	if a := s.Account(); a.Held != 0 || a.Total() != s.UMEM().Frames() {
		t.Fatalf("frames after sending: %+v", a)
	}
	return taken, err
}

// What is sent where there is no TX queue arrives all the same, in order, and nothing
// counts as sent that was not.
func TestDetour(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		v0, v1 := addReceiver(t)
		peer := rawSocket(t, v1)
		s := open(t, xsk.Config{Interface: "v0", Queue: 1, TxQueues: 1, Driver: driver, RingSize: 64})
		if !s.Info().Detour {
			t.Fatal("it sends by a queue that is not there")
		}
		buf, number := make([]byte, 2048), uint64(0)
		for range 30 {
			n, err := sendNumbered(t, s, number, 32, 100)
			if n != 32 || err != nil {
				t.Fatalf("%d packets of 32, %v", n, err)
			}
			for range n {
				got, err := receive(peer, buf)
				if err != nil || !bytes.Equal(got, frame(number, 100)) {
					t.Fatalf("packet %d: % x, %v", number, got[:min(30, len(got))], err)
				}
				number++
			}
		}

		// Longer than the MTU: it is lost, under a name, and the next one leaves.
		if n, err := sendNumbered(t, s, 7777, 1, 1700); n != 1 || err != nil {
			t.Errorf("a packet that is too long: %d taken, %v", n, err)
		}
		if st, err := s.Statistics(); err != nil || st.TxDropped != 1 || st.Refused != 0 {
			t.Errorf("%+v, %v", st, err)
		}
		// Empty, and not ours to send: refused.
		descs := make([]xsk.Desc, 2)
		s.Allocate(descs[:1])
		descs[0].Len, descs[1] = 0, xsk.Desc{Addr: 5 * 2048, Len: 60}
		if n := s.Transmit(descs); n != 2 {
			t.Errorf("%d of 2 descriptors that are not valid were dealt with", n)
		}
		if st, _ := s.Statistics(); st.Refused != 2 {
			t.Errorf("%d refused", st.Refused)
		}
		number = 8888
		sendNumbered(t, s, number, 1, 60)
		if got, err := receive(peer, buf); err != nil || binary.BigEndian.Uint64(got[14:]) != number {
			t.Errorf("after all that: % x, %v", got, err)
		}

		// A link that is down is said to be, each time, and nothing is taken.
		must(t, netlink.LinkSetDown(v0))
		for range 2 {
			if n, err := sendNumbered(t, s, 1, 4, 60); n != 0 || !errors.Is(err, xsk.ErrLinkDown) {
				t.Errorf("down: %d taken, %v", n, err)
			}
		}
		must(t, netlink.LinkSetUp(v0))
		waitUp(t, v0)
		if n, err := sendNumbered(t, s, 9999, 1, 60); n != 1 || err != nil {
			t.Errorf("up again: %d taken, %v", n, err)
		}
		if got, err := receive(peer, buf); err != nil || binary.BigEndian.Uint64(got[14:]) != 9999 {
			t.Errorf("up again: % x, %v", got, err)
		}
		must(t, netlink.LinkDel(v0))
		for range 3 { // the packet socket tells in steps
			_, err := sendNumbered(t, s, 1, 1, 60)
			if err == nil {
				t.Fatal("sent by an interface that is gone")
			}
			if errors.Is(err, xsk.ErrGone) {
				return
			}
		}
		t.Error("that the interface is gone is never said")
	})
}

// Without being told of it, such a queue takes packets for ever that never leave; with as
// many TX queues there is no detour.
func TestNoDetour(t *testing.T) {
	_, _ = addReceiver(t)
	for _, c := range []struct{ queue, tx int }{{0, 1}, {1, 0}, {1, 2}} {
		s := open(t, xsk.Config{Interface: "v0", Queue: c.queue, TxQueues: c.tx, RingSize: 64})
		if s.Info().Detour {
			t.Errorf("queue %d of %d: a detour", c.queue, c.tx)
		}
		must(t, s.Close())
	}
}

// TestNoZeroCopyWithoutATxQueue: it is not tried, and who insists on it is refused; the
// reason is told, not that of veth, which has no zero-copy anyway.
func TestNoZeroCopyWithoutATxQueue(t *testing.T) {
	_, _ = addReceiver(t)
	const want = "zero-copy on a queue that has no TX queue"
	s := open(t, xsk.Config{Interface: "v0", Queue: 1, TxQueues: 1, RingSize: 64})
	if i := s.Info(); i.Mode != xsk.ModeCopy || !strings.Contains(i.WhyCopy, want) {
		t.Errorf("%s, for %q", i.Mode, i.WhyCopy)
	}
	must(t, s.Close())
	_, err := xsk.Open(xsk.Config{Interface: "v0", Queue: 1, TxQueues: 1, RingSize: 64, Mode: xsk.ModeZeroCopy})
	if !errors.Is(err, xsk.ErrNotSupported) || !strings.Contains(err.Error(), want) {
		t.Errorf("insisting: %v", err)
	}
	_, err = xsk.Open(xsk.Config{Interface: "v0", Queue: 0, TxQueues: 1, RingSize: 64, Mode: xsk.ModeZeroCopy})
	if err == nil || strings.Contains(err.Error(), want) {
		t.Errorf("a queue that has a TX queue: %v", err)
	}
}
