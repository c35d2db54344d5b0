package xsktest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/xsk"
)

// bounce has the socket send n packets back that it received.
func bounce(t *testing.T, k *Kernel, n int) {
	t.Helper()
	descs := make([]xsk.Desc, n)
	if got := k.Socket().Receive(descs); got != n {
		t.Fatalf("received %d, want %d", got, n)
	}
	if got := k.Socket().Transmit(descs); got != n {
		t.Fatalf("transmitted %d, want %d", got, n)
	}
}

func packets(n int) [][]byte {
	var all [][]byte
	for i := range n {
		all = append(all, []byte(fmt.Sprintf("packet %d", i)))
	}
	return all
}

func TestDeliver(t *testing.T) {
	k := New(16, 2048, 8)
	longest := k.Socket().Info().MaxPacket
	for _, test := range []struct {
		name   string
		before func()
		packet []byte
		want   bool
	}{
		{"a byte", nil, []byte{1}, true},
		{"the longest", nil, make([]byte, longest), true},
		{"too long", nil, make([]byte, longest+1), false},
		{"link down", func() { k.SetDown(true) }, []byte{1}, false},
		{"link up", func() { k.SetDown(false) }, []byte{1}, true},
		{"removed", k.Remove, []byte{1}, false},
	} {
		if test.before != nil {
			test.before()
		}
		if got := k.Deliver(test.packet); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
	var descs [8]xsk.Desc
	if n := k.Socket().Receive(descs[:]); n != 3 {
		t.Fatalf("received %d, want 3", n)
	}
	for _, d := range descs[:3] {
		if at := d.Addr % 2048; at < 256 || at+uint64(longest) > 2048 {
			t.Errorf("packet at %#x, want 256 bytes in front of it, and room for %d", d.Addr, longest)
		}
	}
}

func TestDeliverAll(t *testing.T) {
	k := New(64, 2048, 8)
	if n := k.DeliverAll(packets(20)); n != 8 {
		t.Errorf("%d packets received by rings of 8", n)
	}
	bounce(t, k, 8)
	if err := k.Socket().Flush(); err != nil {
		t.Fatal(err)
	}
	for i, p := range k.Sent() {
		if want := packets(8)[i]; !bytes.Equal(p, want) {
			t.Errorf("sent %q, want %q", p, want)
		}
	}
	if n := len(k.Sent()); n != 0 {
		t.Errorf("%d packets told twice", n)
	}
	if k.SentCount() != 8 {
		t.Errorf("%d sent, want 8", k.SentCount())
	}
}

// TestInPlace writes packets where they will be received, and does not allocate.
func TestInPlace(t *testing.T) {
	k := New(64, 2048, 8)
	k.Record(false)
	var descs [8]xsk.Desc
	got := testing.AllocsPerRun(100, func() {
		for i := range 4 {
			b := k.Buffer()
			b[0] = byte(i)
			k.Push(60)
		}
		if k.Socket().Receive(descs[:]) != 0 {
			t.Error("received before Publish")
		}
		k.Publish()
		n := k.Socket().Receive(descs[:])
		if n != 4 {
			t.Fatalf("received %d, want 4", n)
		}
		for i, d := range descs[:n] {
			if f := k.Socket().UMEM().Frame(d); len(f) != 60 || f[0] != byte(i) {
				t.Errorf("packet %d: %d bytes, first %d", i, len(f), f[0])
			}
		}
		k.Socket().Transmit(descs[:n])
		k.Socket().Flush()
		k.Socket().Recycle()
	})
	if got != 0 {
		t.Errorf("%v allocations", got)
	}
	if err := k.Err(); err != nil {
		t.Error(err)
	}
}

// TestTransmit: what the system call answers, and what it takes and completes.
func TestTransmit(t *testing.T) {
	for _, test := range []struct {
		name              string
		before            func(*Kernel)
		errno             unix.Errno
		sent, left, owing int
	}{
		{"healthy", func(*Kernel) {}, 0, 6, 0, 0},
		{"budget", func(k *Kernel) { k.SetBudget(4) }, unix.EAGAIN, 4, 2, 0},
		{"one dropped", func(k *Kernel) { k.Drop(1) }, unix.EBUSY, 0, 5, 0},
		{"slow receiver", func(k *Kernel) { k.Hold(true) }, 0, 6, 0, 6},
		{"impatient receiver", func(k *Kernel) { k.Hold(true); k.Hold(false) }, 0, 6, 0, 0},
		{"down", func(k *Kernel) { k.SetDown(true) }, unix.ENETDOWN, 0, 6, 0},
		{"removed", (*Kernel).Remove, unix.ENXIO, 0, 6, 0},
		{"told so", func(k *Kernel) { k.Answer(unix.ENOBUFS) }, unix.ENOBUFS, 0, 6, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := New(64, 2048, 8)
			k.DeliverAll(packets(6))
			bounce(t, k, 6)
			test.before(k)
			if errno := (*calls)(k).Send(); errno != test.errno {
				t.Errorf("errno %v, want %v", errno, test.errno)
			}
			if n := len(k.Sent()); n != test.sent {
				t.Errorf("%d sent, want %d", n, test.sent)
			}
			if n := k.Socket().Pending(); n != uint32(test.left) {
				t.Errorf("%d left, want %d", n, test.left)
			}
			k.Socket().Recycle()
			if n := k.Socket().Account().Transmit; n != uint32(test.left+test.owing) {
				t.Errorf("%d in transmit, want %d", n, test.left+test.owing)
			}
			if n := k.Complete(100); n != test.owing {
				t.Errorf("%d completed, want %d", n, test.owing)
			}
		})
	}
}

// TestErr: a socket that broke the protocol would be found out.
func TestErr(t *testing.T) {
	send := func(d xsk.Desc) func(*Kernel) {
		return func(k *Kernel) {
			k.rings.TX.Entries[0] = d
			k.rings.TX.Producer.Store(1)
			(*calls)(k).Send()
		}
	}
	fill := func(addr uint64) func(*Kernel) {
		return func(k *Kernel) {
			k.rings.Fill.Entries[0] = addr
			k.Deliver([]byte{1})
		}
	}
	for _, test := range []struct {
		name string
		do   func(*Kernel)
		want string
	}{
		{"nothing", func(*Kernel) {}, ""},
		{"good packet", send(xsk.Desc{Addr: 20 * 2048, Len: 60}), ""},
		{"outside", send(xsk.Desc{Addr: 64 * 2048, Len: 60}), "outside"},
		{"empty", send(xsk.Desc{Addr: 0}), "empty"},
		{"across", send(xsk.Desc{Addr: 2000, Len: 60}), "across"},
		{"options", send(xsk.Desc{Len: 60, Options: 2}), "options"},
		{"sent twice", func(k *Kernel) {
			k.Hold(true)
			send(xsk.Desc{Addr: 2048, Len: 60})(k)
			k.rings.TX.Entries[1] = xsk.Desc{Addr: 2048, Len: 60}
			k.rings.TX.Producer.Store(2)
			(*calls)(k).Send()
		}, "that the kernel has"},
		{"no frame to fill", fill(64 * 2048), "is no frame"},
		{"filled while sending", func(k *Kernel) {
			k.Hold(true)
			send(xsk.Desc{Addr: 0, Len: 60})(k)
			fill(0)(k)
		}, "that the kernel has"},
	} {
		k := New(64, 2048, 8)
		test.do(k)
		err := k.Err()
		if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestPoll(t *testing.T) {
	k := New(64, 2048, 8)
	c := (*calls)(k)
	if c.Poll(0) || c.Poll(time.Millisecond) {
		t.Error("readable without a packet")
	}
	go k.Deliver([]byte{1})
	if !c.Poll(time.Hour) {
		t.Error("not readable with a packet")
	}
	if !c.Poll(0) {
		t.Error("readable only once")
	}
	bounce(t, k, 1)
	go k.Remove()
	if c.Poll(time.Hour) {
		t.Error("readable with nothing but bad news")
	}
	if errno := c.Error(); errno != unix.ENETDOWN {
		t.Errorf("error %v of a removed interface", errno)
	}
	if errno := c.Error(); errno != 0 {
		t.Errorf("error %v is told twice", errno)
	}
}

func TestNewPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("made rings of 7")
		}
	}()
	New(64, 2048, 7)
}

// TestStores: when each kernel tells that it took packets: two of six by a call that is
// cut short, one lost by a call that sends nothing, and all that it was shown.
func TestStores(t *testing.T) {
	for _, test := range []struct {
		linux               Linux
		budget, drop, whole int // packets told of, after each
	}{
		{Today, 2, 3, 6},
		{Linux617, 2, 2, 6},
		{Linux61, 0, 0, 6},
	} {
		k := NewAs(test.linux, 64, 2048, 8)
		k.DeliverAll(packets(6))
		bounce(t, k, 6)
		told := func() int { return 6 - int(k.Socket().Pending()) }
		step := func(name string, errno unix.Errno, taken uint32, want int) {
			t.Helper()
			if got := (*calls)(k).Send(); got != errno || k.Taken() != taken {
				t.Errorf("%v, %s: errno %v, %d taken; want %v, %d", test.linux, name, got, k.Taken(), errno, taken)
			}
			if got := told(); got != want {
				t.Errorf("%v, %s: told of %d, want %d", test.linux, name, got, want)
			}
		}
		k.SetBudget(2)
		step("budget", unix.EAGAIN, 2, test.budget)
		k.Drop(1)
		step("drop", unix.EBUSY, 3, test.drop)
		k.SetBudget(8)
		step("whole", 0, 6, test.whole)
	}
}

// TestZeroCopy: a system call sends nothing, the driver does; packets are where aligned
// chunks have them.
func TestZeroCopy(t *testing.T) {
	k := NewAs(ZeroCopy, 64, 2048, 8)
	if k.Socket().Info().Mode != xsk.ModeZeroCopy {
		t.Errorf("%+v", k.Socket().Info())
	}
	k.DeliverAll(packets(6))
	if d := k.rings.RX.Entries[0]; d.Addr%2048 != 256 {
		t.Errorf("packet at %#x, want 256 bytes into its frame", d.Addr)
	}
	bounce(t, k, 6)
	if errno := (*calls)(k).Send(); errno != 0 || k.Taken() != 0 {
		t.Errorf("errno %v, %d taken by the call", errno, k.Taken())
	}
	if errno := k.Transmit(); errno != 0 || k.SentCount() != 6 || k.Socket().Pending() != 0 {
		t.Errorf("errno %v, %d sent by the driver, %d pending", errno, k.SentCount(), k.Socket().Pending())
	}
	if err := k.Err(); err != nil {
		t.Error(err)
	}
}
