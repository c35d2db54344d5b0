package xsk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/xsk"
)

// TestMillion sends a million packets to and fro between two sockets, while the one
// that echoes is given invalid descriptors, and then takes the link down and up. Each packet must come back once and unchanged, and at the end each frame
// must be accounted for, by us and by the kernel.
func TestMillion(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		v0, v1 := addVeth(t, 1)
		sockets, peerSockets := redirect(t, v0), redirect(t, v1)
		s := open(t, xsk.Config{Interface: "v0", Driver: driver, Frames: 512, RingSize: 256})
		peer := open(t, xsk.Config{Interface: "v1", RingSize: 512})
		enter(t, sockets, s)
		enter(t, peerSockets, peer)
		refused := uint64(0)
		e := startEcho(t, s, func(descs []xsk.Desc) { refused += misuse(t, s) })

		total := uint64(1_000_000)
		if testing.Short() {
			total /= 10
		}
		g := &generator{socket: peer, total: total, back: make([]uint8, total)}
		g.run(t)
		e.end(t)
		for number, times := range g.back {
			if times != 1 {
				t.Fatalf("packet %d came back %d times", number, times)
			}
		}
		for range 3 {
			for _, l := range []netlink.Link{v0, v1} {
				must(t, netlink.LinkSetDown(l))
				must(t, netlink.LinkSetUp(l))
			}
		}
		settle(t, peer)
		settle(t, s)
		st, err := s.Statistics()
		must(t, err)
		if st.Refused != refused || st.TxInvalid != 0 || st.RxInvalid != 0 {
			t.Errorf("%+v: want %d refused, and none that the kernel saw", st, refused)
		}
		t.Logf("%+v", st)
	})
}

// misuse hands a socket what it must not take, and returns how many descriptors it must
// have refused.
func misuse(t *testing.T, s *xsk.Socket) uint64 {
	var d [1]xsk.Desc
	if s.Allocate(d[:]) == 0 {
		return 0
	}
	bad := []xsk.Desc{
		{Addr: d[0].Addr, Len: 4096},                     // across the frame's end; frees it
		{Addr: d[0].Addr, Len: 60},                       // free by now
		{Addr: uint64(s.UMEM().Frames()) << 11, Len: 60}, // outside
		{Addr: ^uint64(0), Len: 60},
	}
	if n := s.Transmit(bad); n != len(bad) {
		t.Errorf("took %d of %d bad descriptors with room for all", n, len(bad))
	}
	s.Release(bad)
	return 2 * uint64(len(bad))
}

// generator sends numbered packets and takes them back, few at a time: veth's own ring
// holds 256, and drops what is more.
type generator struct {
	socket *xsk.Socket
	total  uint64
	back   []uint8
	next   uint64
}

func (g *generator) run(t *testing.T) {
	t.Helper()
	s := g.socket
	var window [128]xsk.Desc
	n := s.Allocate(window[:])
	received := uint64(0)
	deadline := time.Now().Add(2 * time.Minute)
	want := make([]byte, 2048)
	for received < g.total {
		g.send(t, window[:n])
		s.Recycle()
		must(t, s.Wait(time.Second))
		n = s.Receive(window[:])
		for _, d := range window[:n] {
			must(t, g.check(s.UMEM().Frame(d), want))
		}
		received += uint64(n)
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d packets came back", received, g.total)
		}
	}
	s.Release(window[:n])
}

// send fills and sends as many frames as there are packets left, and releases the rest.
func (g *generator) send(t *testing.T, descs []xsk.Desc) {
	t.Helper()
	n := int(min(uint64(len(descs)), g.total-g.next))
	g.socket.Release(descs[n:])
	for i := range descs[:n] {
		descs[i].Len = uint32(lengthOf(g.next))
		fillFrame(g.socket.UMEM().Frame(descs[i]), g.next)
		g.next++
	}
	if sent := g.socket.Transmit(descs[:n]); sent != n {
		t.Fatalf("transmitted %d of %d", sent, n)
	}
	for g.socket.Pending() > 0 {
		must(t, g.socket.Flush())
	}
}

func lengthOf(number uint64) int { return 60 + int(number%7)*3 }

func (g *generator) check(got, want []byte) error {
	number := binary.BigEndian.Uint64(got[14:])
	if number >= g.next {
		return errors.New("a packet came back that was not sent")
	}
	want = want[:lengthOf(number)]
	fillFrame(want, number)
	swapMACs(want)
	if !bytes.Equal(got, want) {
		return errors.New("a packet came back changed")
	}
	g.back[number]++
	return nil
}
