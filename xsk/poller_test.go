package xsk_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// A packet on any of the sockets ends the wait, and so does the end of an interface; of one
// that is closed nothing more is told.
func TestPoller(t *testing.T) {
	first := xsktest.New(64, 2048, 8)
	second := first.Share(8)
	second.Socket().Recycle()
	p := xsk.NewPoller([]*xsk.Socket{first.Socket(), second.Socket()}, nil)
	must(t, p.Wait(time.Millisecond))
	for _, k := range []*xsktest.Kernel{first, second} {
		go k.Deliver([]byte{1})
		must(t, p.Wait(time.Hour))
		var descs [1]xsk.Desc
		if n := k.Socket().Receive(descs[:]); n != 1 {
			t.Errorf("%d packets", n)
		}
		k.Socket().Release(descs[:])
	}
	second.Remove()
	for range 2 {
		if err := p.Wait(time.Millisecond); !errors.Is(err, xsk.ErrGone) {
			t.Errorf("%v", err)
		}
	}
	if first.Socket().Gone() || !second.Socket().Gone() {
		t.Error("the wrong one is gone")
	}
	must(t, second.Socket().Close())
	if second.Socket().Gone() {
		t.Error("gone although it is closed")
	}
	must(t, p.Wait(time.Millisecond))
	must(t, first.Socket().Close())
	must(t, p.Wait(time.Millisecond))
}

// The same with the kernel's own sockets.
func TestPollerOnWires(t *testing.T) {
	inNetns(t)
	v := newArm(t, "v", xsk.Config{RingSize: 32})
	w := newArm(t, "w", xsk.Config{RingSize: 32, Share: v.socket})
	p := xsk.NewPoller([]*xsk.Socket{v.socket, w.socket}, nil)
	for _, a := range []*arm{v, w} {
		if _, err := unix.Write(a.far, frame(1, 60)); err != nil {
			t.Fatal(err)
		}
		must(t, p.Wait(time.Hour))
		forward(t, a, a)
	}
	must(t, netlink.LinkDel(w.near))
	if err := p.Wait(time.Millisecond); !errors.Is(err, xsk.ErrGone) {
		t.Errorf("%v", err)
	}
	must(t, w.socket.Close())
	if _, err := unix.Write(v.far, frame(1, 60)); err != nil {
		t.Fatal(err)
	}
	must(t, p.Wait(time.Hour))
	forward(t, v, v)
	must(t, v.socket.Close())
	must(t, p.Wait(time.Millisecond))
}
