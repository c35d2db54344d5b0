package xsk_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/xsk"
)

func TestOpenInfo(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		v0, _ := addVeth(t, 2)
		s := open(t, xsk.Config{Interface: "v0", Queue: 1, Driver: driver})
		got := s.Info()
		if !strings.Contains(got.WhyCopy, "not supported") {
			t.Errorf("why copy: %q, want the error of zero-copy", got.WhyCopy)
		}
		if got.SendBuffer < 8192*2048 {
			t.Errorf("send buffer of %d bytes: a full ring does not fit", got.SendBuffer)
		}
		// 32 before Linux 6.17.
		if got.TxBudget != 512 && got.TxBudget != 32 {
			t.Errorf("TX budget %d", got.TxBudget)
		}
		got.WhyCopy, got.SendBuffer, got.TxBudget = "", 0, 0
		want := xsk.Info{
			Interface: "v0", Index: v0.Attrs().Index, Queue: 1, Driver: driver, Mode: xsk.ModeCopy,
			Frames: 8192, FrameSize: 2048, RingSize: 2048, NeedWakeup: true,
			MaxPacket: map[xsk.Driver]int{xsk.DriverNative: 2048 - 256 - 192, xsk.DriverAsavie: 2048 - 256}[driver],
		}
		if got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if a, want := s.Account(), (xsk.Account{Free: 8192 - 2048, Filled: 2048}); a != want {
			t.Errorf("opened with %+v, want the FILL ring full: %+v", a, want)
		}
	})
}

func TestOpenFrameSizeFollowsMTU(t *testing.T) {
	inNetns(t)
	v0, _ := addVeth(t, 1)
	for _, test := range []struct {
		mtu  int
		size uint32
	}{{1500, 2048}, {1578, 2048}, {1579, 4096}, {3000, 4096}} {
		must(t, netlink.LinkSetMTU(v0, test.mtu))
		s, err := xsk.Open(xsk.Config{Interface: "v0", RingSize: 64})
		must(t, err)
		if got := s.Info().FrameSize; got != test.size {
			t.Errorf("MTU %d: frames of %d bytes, want %d", test.mtu, got, test.size)
		}
		must(t, s.Close())
	}
}

func TestOpenErrors(t *testing.T) {
	defer xsk.SetBindPauses(time.Millisecond)()
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		addVeth(t, 2)
		small := xsk.Config{Driver: driver, RingSize: 64}
		with := func(change func(*xsk.Config)) xsk.Config {
			c := small
			c.Interface = "v0"
			change(&c)
			return c
		}
		open(t, with(func(c *xsk.Config) {}))
		for _, test := range []struct {
			name   string
			config xsk.Config
			is     error
			says   string
		}{
			{"missing interface", with(func(c *xsk.Config) { c.Interface = "eth77" }), xsk.ErrNoInterface, `interface "eth77"`},
			{"no interface given", small, xsk.ErrNoInterface, `interface ""`},
			{"missing queue", with(func(c *xsk.Config) { c.Queue = 2 }), xsk.ErrNoQueue, "queue 2 of v0: no such queue: v0 has 2 (from 0 to 1)"},
			{"negative queue", with(func(c *xsk.Config) { c.Queue = -1 }), xsk.ErrNoQueue, "queue -1 of v0"},
			{"busy queue", with(func(c *xsk.Config) {}), xsk.ErrBusy, "queue 0 of v0: queue is in use"},
			{"no zero-copy", with(func(c *xsk.Config) { c.Queue, c.Mode = 1, xsk.ModeZeroCopy }), xsk.ErrNotSupported, "the driver of v0 has no zero-copy"},
			{"unknown mode", with(func(c *xsk.Config) { c.Mode = "turbo" }), nil, `mode "turbo": want "auto"`},
			{"unknown driver", with(func(c *xsk.Config) { c.Driver = "dpdk" }), nil, `driver "dpdk": want "native" or "asavie"`},
			{"frame size", with(func(c *xsk.Config) { c.FrameSize = 1000 }), nil, "frame size 1000: want 2048 or 4096"},
			{"ring size", with(func(c *xsk.Config) { c.RingSize = 1000 }), nil, "ring size 1000: want a power of two"},
			{"frames", with(func(c *xsk.Config) { c.Frames = 7 }), nil, "7 frames: want an even number"},
			{"too many frames", with(func(c *xsk.Config) { c.Frames = 1 << 20 }), nil, "1048576 frames"},
		} {
			// No subtests: they would run on threads outside of the namespace.
			s, err := xsk.Open(test.config)
			if err == nil {
				s.Close()
				t.Errorf("%s: opened", test.name)
				continue
			}
			if test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%s: %v: is not %v", test.name, err, test.is)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %q does not say %q", test.name, err, test.says)
			}
		}
	})
}

// TestReopen opens and closes one queue over and over: neither descriptors nor ring
// maps may stay behind, nor the queue be busy.
func TestReopen(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		v0, _ := addVeth(t, 1)
		sockets := redirect(t, v0)
		config := xsk.Config{Interface: "v0", Driver: driver, RingSize: 64}
		var fds, maps int
		for i := range 10 {
			s, err := xsk.Open(config)
			if err != nil {
				t.Fatalf("open %d: %v", i, err)
			}
			enter(t, sockets, s)
			must(t, s.Close())
			must(t, s.Close()) // once more does no harm
			if i == 0 {
				fds, maps = countFDs(t), countSocketMaps(t)
				if maps != 0 {
					t.Errorf("%d ring maps left", maps)
				}
			}
		}
		if n := countFDs(t); n != fds {
			t.Errorf("%d descriptors open, %d after the first time", n, fds)
		}
		if n := countSocketMaps(t); n != maps {
			t.Errorf("%d ring maps, %d after the first time", n, maps)
		}
	})
}

// TestBusyLeavesNothing: attempts on a busy queue must not pile up sockets, and the
// owner of the queue must stay unharmed.
func TestBusyLeavesNothing(t *testing.T) {
	defer xsk.SetBindPauses(time.Millisecond, time.Millisecond, time.Millisecond)()
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		addVeth(t, 1)
		owner := open(t, xsk.Config{Interface: "v0", RingSize: 64})
		fds, maps := countFDs(t), countSocketMaps(t)
		_, err := xsk.Open(xsk.Config{Interface: "v0", Driver: driver, RingSize: 64})
		if !errors.Is(err, xsk.ErrBusy) {
			t.Fatalf("second socket on a queue: %v, want %v", err, xsk.ErrBusy)
		}
		if n := countFDs(t); n != fds {
			t.Errorf("%d descriptors open, %d before", n, fds)
		}
		if n := countSocketMaps(t); n != maps || maps != 4 {
			t.Errorf("%d ring maps, %d before, want the owner's 4", n, maps)
		}
		settle(t, owner)
	})
}

// TestOpenWaitsForQueue: a queue that is being given up is had without an error.
func TestOpenWaitsForQueue(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver xsk.Driver) {
		inNetns(t)
		addVeth(t, 1)
		first := open(t, xsk.Config{Interface: "v0", RingSize: 64})
		closed := make(chan error)
		go func() { closed <- first.Close() }()
		s, err := xsk.Open(xsk.Config{Interface: "v0", Driver: driver, RingSize: 64})
		must(t, <-closed)
		must(t, err)
		must(t, s.Close())
	})
}

func TestClosed(t *testing.T) {
	inNetns(t)
	addVeth(t, 1)
	s := open(t, xsk.Config{Interface: "v0", RingSize: 64})
	var descs [4]xsk.Desc
	n := s.Allocate(descs[:])
	s.Release(make([]xsk.Desc, 1)) // none that is held: that counts
	before, err := s.Statistics()
	must(t, err)
	must(t, s.Close())
	if before.Refused == 0 {
		t.Errorf("nothing counts: %+v", before)
	}
	if got := s.Receive(make([]xsk.Desc, 4)); got != 0 {
		t.Errorf("received %d", got)
	}
	if got := s.Transmit(descs[:n]); got != 0 {
		t.Errorf("transmitted %d", got)
	}
	s.Release(descs[:n])
	s.Recycle()
	if n := s.Pending(); n != 0 {
		t.Errorf("%d pending", n)
	}
	if err := s.Flush(); !errors.Is(err, xsk.ErrClosed) {
		t.Errorf("Flush: %v", err)
	}
	if err := s.Wait(time.Hour); !errors.Is(err, xsk.ErrClosed) {
		t.Errorf("Wait: %v", err)
	}
	if last, err := s.Statistics(); last.KernelStatistics != before.KernelStatistics || last.Refused < before.Refused || err != nil {
		t.Errorf("Statistics: %+v, before it was closed %+v, %v", last, before, err)
	}
}

func countFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

func countSocketMaps(t *testing.T) int {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	return strings.Count(string(maps), "socket:[")
}

func ExampleOpen() {
	s, err := xsk.Open(xsk.Config{Interface: "no-such-interface"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	// Output: interface "no-such-interface": no such interface
}
