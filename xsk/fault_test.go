package xsk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/xsk"
)

// TestFlap takes each end of the link down and up under traffic. The socket must say
// so, resume by itself, and lose no frame.
func TestFlap(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		v0, v1 := addVeth(t, 1)
		sockets := redirect(t, v0)
		// As many frames as the FILL ring has entries: each frame takes part.
		s := open(t, xsk.Config{Interface: "v0", Driver: driver, Frames: 256, RingSize: 256})
		enter(t, sockets, s)
		peer := rawSocket(t, v1)
		e := startEcho(t, s, nil)
		number := uint64(0)
		exchange(t, peer, &number, 500)
		for range 5 {
			must(t, netlink.LinkSetDown(v0))
			blast(peer, &number, 100)
			must(t, netlink.LinkSetUp(v0))
			blast(peer, &number, 100)
			must(t, netlink.LinkSetDown(v1))
			must(t, netlink.LinkSetUp(v1))
			// These may meet what is left of the above, hence find by number.
			exchange(t, peer, &number, 500)
		}
		e.end(t)
		if e.errs[xsk.ErrGone] != 0 {
			t.Error("a link that was only down was taken for gone")
		}
		settle(t, s)

		// The kernel has them all, too: each comes by within two turns of the ring.
		seen := map[uint64]bool{}
		e = startEcho(t, s, func(descs []xsk.Desc) {
			for _, d := range descs {
				seen[d.Addr/2048] = true
			}
		})
		exchange(t, peer, &number, 2*256)
		e.end(t)
		if len(seen) != 256 {
			t.Errorf("%d of 256 frames are in use after all", len(seen))
		}
		settle(t, s)
	})
}

// TestLinkDown: a send on a link that is down says so, without allocating an error
// each time; what is on the ring stays there and leaves when the link is back.
func TestLinkDown(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		v0, v1 := addVeth(t, 1)
		peer := rawSocket(t, v1)
		s := open(t, xsk.Config{Interface: "v0", Driver: driver, RingSize: 64})
		must(t, netlink.LinkSetDown(v0))
		var descs [40]xsk.Desc
		s.Allocate(descs[:])
		for i := range descs {
			fillFrame(s.UMEM().Frame(descs[i])[:60], uint64(i))
			descs[i].Len = 60
		}
		if n := s.Transmit(descs[:]); n != len(descs) {
			t.Fatalf("transmitted %d", n)
		}
		if err := s.Flush(); !errors.Is(err, xsk.ErrLinkDown) || !errors.Is(err, unix.ENETDOWN) {
			t.Errorf("flush on a link that is down: %v", err)
		}
		if n := testing.AllocsPerRun(100, func() { s.Flush() }); n != 0 {
			t.Errorf("%v allocations a flush", n)
		}
		if n := s.Pending(); n != uint32(len(descs)) {
			t.Errorf("%d pending, want %d", n, len(descs))
		}
		must(t, netlink.LinkSetUp(v0))
		settle(t, s)
		buf := make([]byte, 2048)
		for i := range descs {
			got, err := receive(peer, buf)
			must(t, err)
			if want := frame(uint64(i), 60); !bytes.Equal(got, want) {
				t.Fatalf("packet %d: %x, want %x", i, got, want)
			}
		}
	})
}

// blast sends packets without caring what becomes of them.
func blast(peer int, number *uint64, n int) {
	for range n {
		unix.Send(peer, frame(*number, 60), 0)
		*number++
	}
}

// exchange sends n packets, few at a time, and waits for each to come back. Others,
// from before, are let pass.
func exchange(t *testing.T, peer int, number *uint64, n int) {
	t.Helper()
	buf := make([]byte, 2048)
	for range n {
		// A packet socket tells once that its link was down, in whatever call is next.
		err := unix.Send(peer, frame(*number, 60), 0)
		if errors.Is(err, unix.ENETDOWN) {
			err = unix.Send(peer, frame(*number, 60), 0)
		}
		must(t, err)
		for {
			got, err := receive(peer, buf)
			if errors.Is(err, unix.ENETDOWN) {
				continue
			}
			if err != nil {
				t.Fatalf("packet %d: %v", *number, err)
			}
			if binary.BigEndian.Uint64(got[14:]) == *number {
				break
			}
		}
		*number++
	}
}

// TestPeerDown: what an interface refuses is counted and completes, each packet, batch
// after batch; with the carrier back all are sent again, by one Flush a batch.
func TestPeerDown(t *testing.T) {
	const batches = 20
	inNetns(t)
	_, v1 := addVeth(t, 1)
	s := open(t, xsk.Config{Interface: "v0", RingSize: 512})
	turn := func() {
		t.Helper()
		give(t, s, 200)
		must(t, s.Flush())
		if n := s.Pending(); n != 0 {
			t.Fatalf("%d pending", n)
		}
		s.Recycle()
	}
	dropped := func(want uint64) {
		t.Helper()
		st, err := s.Statistics()
		must(t, err)
		if st.TxDropped != want {
			t.Errorf("%d packets dropped, want %d", st.TxDropped, want)
		}
	}
	must(t, netlink.LinkSetDown(v1))
	for range batches {
		turn()
	}
	dropped(200 * batches)
	must(t, netlink.LinkSetUp(v1))
	for range batches {
		turn()
	}
	dropped(200 * batches)
	settle(t, s)
}

// TestGone removes the interface: a socket that only receives learns of it in Wait,
// one that sends in Flush. A new interface of the same name is had again.
func TestGone(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		v0, _ := addVeth(t, 2)
		receives := open(t, xsk.Config{Interface: "v0", Queue: 0, Driver: driver, RingSize: 64})
		sends := open(t, xsk.Config{Interface: "v0", Queue: 1, Driver: driver, RingSize: 64})
		must(t, receives.Wait(0))
		var d [1]xsk.Desc
		sends.Allocate(d[:])
		d[0].Len = 60
		sends.Transmit(d[:])
		must(t, netlink.LinkDel(v0))

		for range 2 { // it stays so
			if err := receives.Wait(time.Millisecond); !errors.Is(err, xsk.ErrGone) {
				t.Errorf("Wait: %v", err)
			}
			if err := sends.Flush(); !errors.Is(err, xsk.ErrGone) {
				t.Errorf("Flush: %v", err)
			}
		}
		receives.Recycle()
		for _, s := range []*xsk.Socket{receives, sends} {
			if a := s.Account(); a.Total() != s.UMEM().Frames() {
				t.Errorf("%+v: sum %d", a, a.Total())
			}
			must(t, s.Close())
		}
		addVeth(t, 2)
		open(t, xsk.Config{Interface: "v0", Queue: 1, Driver: driver, RingSize: 64})
	})
}

// TestSlowPeer sends into a queue that lets nothing pass: first the ring of completions
// that are owed fills up, then the TX ring. Nobody blocks, nothing is lost, and when
// the way is free all goes on.
func TestSlowPeer(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		_, v1 := addVeth(t, 1)
		free := clog(t, v1)
		const ring = 256
		s := open(t, xsk.Config{Interface: "v0", Driver: driver, RingSize: ring})
		var d [1]xsk.Desc
		given := 0
		for ; given < 4*ring; given++ {
			if s.Allocate(d[:]) == 0 {
				break
			}
			fillFrame(s.UMEM().Frame(d[0])[:60], uint64(given))
			d[0].Len = 60
			if s.Transmit(d[:]) == 0 {
				s.Release(d[:])
				break
			}
			must(t, s.Flush())
		}
		if n := s.Pending(); n != ring {
			t.Errorf("%d pending, want the TX ring full", n)
		}
		// A few went through before the queue was full.
		if a := s.Account(); a.Transmit < 2*ring || a.Total() != s.UMEM().Frames() {
			t.Errorf("%+v, want %d in transmit at least", a, 2*ring)
		}
		before, err := s.Statistics()
		must(t, err)
		must(t, s.Flush())
		after, err := s.Statistics()
		must(t, err)
		if kicks := after.Kicks - before.Kicks; kicks > 2 {
			t.Errorf("%d system calls for a flush that can do nothing", kicks)
		}
		free()
		settle(t, s)
	})
}

// clog puts a bridge behind a link whose other port sends next to nothing, so that
// packets pile up in that port's queue. The returned function empties it.
func clog(t *testing.T, l netlink.Link) (free func()) {
	t.Helper()
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	must(t, netlink.LinkAdd(bridge))
	port := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "w0"}, PeerName: "w1"}
	must(t, netlink.LinkAdd(port))
	for _, name := range []string{"br0", "w0", "w1"} {
		must(t, netlink.LinkSetUp(linkByName(t, name)))
	}
	// A port that is up already forwards as soon as it joins.
	for _, port := range []netlink.Link{l, port} {
		waitUp(t, port)
		must(t, netlink.LinkSetMaster(port, bridge))
	}
	queue := &netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: linkByName(t, "w0").Attrs().Index,
			Handle:    netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT,
		},
		Rate: 100, Limit: 64 << 20, // bytes a second, bytes
		Buffer: 1 << 26, // ticks of 64 ns, about 4 s: the most that sch_tbf takes
	}
	must(t, netlink.QdiscAdd(queue))
	return func() { must(t, netlink.QdiscDel(queue)) }
}
