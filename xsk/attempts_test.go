package xsk

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAttempts plays drivers with and without zero-copy to Open's search for the best
// bind flags.
func TestAttempts(t *testing.T) {
	const (
		nw = unix.XDP_USE_NEED_WAKEUP
		zc = unix.XDP_ZEROCOPY | nw
		cp = unix.XDP_COPY | nw
	)
	defer SetBindPauses(0, 0)()
	busy, unsupported := unix.EBUSY, unix.EOPNOTSUPP
	for _, test := range []struct {
		name    string
		mode    Mode
		without bool    // it is known that there is no zero-copy
		answers []error // of bind; then success
		flags   []uint16
		why     string
		err     error
	}{
		{"auto, zero-copy works", ModeAuto, false, nil, []uint16{zc}, "", nil},
		{"auto, only copy", ModeAuto, false, []error{unsupported}, []uint16{zc, cp}, "bind: operation not supported", nil},
		{"auto, nothing works", ModeAuto, false, []error{unsupported, unix.EINVAL}, []uint16{zc, cp}, "", unix.EINVAL},
		{"auto, it is known that only copy", ModeAuto, true, nil, []uint16{cp}, "the driver has no zero-copy", nil},
		{"zero-copy, though it is known that there is none", ModeZeroCopy, true, []error{unsupported}, []uint16{zc}, "", unsupported},
		{"zero-copy", ModeZeroCopy, false, nil, []uint16{zc}, "", nil},
		{"zero-copy, unsupported", ModeZeroCopy, false, []error{unsupported}, []uint16{zc}, "", unsupported},
		{"copy", ModeCopy, false, nil, []uint16{cp}, "", nil},
		{"generic", ModeGeneric, false, nil, []uint16{cp}, "", nil},
		{"busy for a moment", ModeAuto, false, []error{busy, busy}, []uint16{zc, zc, zc}, "", nil},
		{"busy, then only copy", ModeAuto, false, []error{busy, unsupported}, []uint16{zc, zc, cp}, "bind: operation not supported", nil},
		{"busy for good", ModeAuto, false, []error{busy, busy, busy, busy}, []uint16{zc, zc, zc}, "", busy},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tried []uint16
			openers["stub"] = func(c Config, ifindex int, flags uint16) (bound, error) {
				tried = append(tried, flags)
				if len(tried) <= len(test.answers) {
					return bound{}, fmt.Errorf("bind: %w", test.answers[len(tried)-1])
				}
				return bound{fd: 7}, nil
			}
			defer delete(openers, "stub")
			b, why, err := bindPatiently(Config{Driver: "stub", Mode: test.mode, NoZeroCopy: test.without}, 1, 1500)
			if !errors.Is(err, test.err) || (err == nil) != (b.fd == 7) {
				t.Errorf("fd %d, error %v, want %v", b.fd, err, test.err)
			}
			if !slices.Equal(tried, test.flags) {
				t.Errorf("bound with flags %#x, want %#x", tried, test.flags)
			}
			if err == nil && why != test.why {
				t.Errorf("why copy: %q, want %q", why, test.why)
			}
		})
	}
}

// TestAttemptFrames: each attempt has the frames that its mode needs, and what was asked
// for stays.
func TestAttemptFrames(t *testing.T) {
	defer SetBindPauses(0, 0)()
	unsupported, busy := unix.EOPNOTSUPP, unix.EBUSY
	for _, test := range []struct {
		name    string
		config  Config
		mtu     int
		answers []error // of bind; then success
		sizes   []uint32
		why     string
		is      error
	}{
		{"zero-copy", Config{Mode: ModeAuto}, 1500, nil, []uint32{4096}, "", nil},
		{"only copy", Config{Mode: ModeAuto}, 1500, []error{unsupported}, []uint32{4096, 2048}, "bind: operation not supported", nil},
		{"busy, then only copy", Config{Mode: ModeAuto}, 1500, []error{busy, unsupported}, []uint32{4096, 4096, 2048}, "bind: operation not supported", nil},
		{"small MTU", Config{Mode: ModeAuto}, 1000, nil, []uint32{2048}, "", nil},
		{"MTU for no zero-copy", Config{Mode: ModeAuto}, 3500, nil, []uint32{4096}, "not supported: an MTU of 3500 in zero-copy, where drivers may use 3072 bytes of a frame of 4096: set it to 3050 at most", nil},
		{"MTU for no zero-copy, which was asked for", Config{Mode: ModeZeroCopy}, 3500, nil, nil, "", ErrNotSupported},
		{"asked for", Config{Mode: ModeAuto, FrameSize: 4096}, 1000, []error{unsupported}, []uint32{4096, 4096}, "bind: operation not supported", nil},
		{"asked for, and none of zero-copy's", Config{Mode: ModeAuto, FrameSize: 2048}, 1500, nil, []uint32{2048}, "not supported: an MTU of 1500 in zero-copy, where drivers may use 1024 bytes of a frame of 2048: set it to 1002 at most", nil},
		{"copy", Config{Mode: ModeCopy}, 1500, nil, []uint32{2048}, "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var tried []uint32
			openers["stub"] = func(c Config, ifindex int, flags uint16) (bound, error) {
				tried = append(tried, c.FrameSize)
				if len(tried) <= len(test.answers) {
					return bound{}, fmt.Errorf("bind: %w", test.answers[len(tried)-1])
				}
				return bound{fd: 7}, nil
			}
			defer delete(openers, "stub")
			test.config.Driver = "stub"
			b, why, err := bindPatiently(test.config, 1, test.mtu)
			if !errors.Is(err, test.is) || (err == nil && why != test.why) {
				t.Errorf("why copy: %q, error %v; want %q, %v", why, err, test.why, test.is)
			}
			if !slices.Equal(tried, test.sizes) {
				t.Errorf("tried frames of %d bytes, want %d", tried, test.sizes)
			}
			if n := len(test.sizes); n > 0 && b.config.FrameSize != test.sizes[n-1] {
				t.Errorf("bound with frames of %d bytes, want the last tried", b.config.FrameSize)
			}
		})
	}
}

// stubKernel answers as it is told.
type stubKernel struct{ send, err unix.Errno }

func (k *stubKernel) Send() unix.Errno                      { return k.send }
func (k *stubKernel) Error() unix.Errno                     { return k.err }
func (k *stubKernel) Wake()                                 {}
func (k *stubKernel) Poll(time.Duration) bool               { return false }
func (k *stubKernel) Statistics() (KernelStatistics, error) { return KernelStatistics{}, unix.EIO }

// TestUnbound: ENXIO is the end in copy mode, and in zero-copy mode only if the
// interface was removed; otherwise the driver is resetting.
func TestUnbound(t *testing.T) {
	for _, test := range []struct {
		mode Mode
		err  unix.Errno // SO_ERROR
		want error
	}{
		{ModeCopy, 0, ErrGone},
		{ModeCopy, unix.ENETDOWN, ErrGone},
		{ModeZeroCopy, 0, ErrLinkDown},
		{ModeZeroCopy, unix.ENETDOWN, ErrGone},
	} {
		k := &stubKernel{send: unix.ENXIO, err: test.err}
		rings := Rings{NewRing[uint64](8), NewRing[Desc](8), NewRing[Desc](8), NewRing[uint64](8)}
		rings.TX.Flags.Store(flagNeedWakeup)
		s, err := NewFake(Info{Mode: test.mode, TxBudget: 8, Frames: 16, FrameSize: 2048}, rings, k, nil)
		if err != nil {
			t.Fatal(err)
		}
		var d [1]Desc
		s.Allocate(d[:])
		s.Transmit(d[:])
		if err := s.Flush(); !errors.Is(err, test.want) {
			t.Errorf("%s, SO_ERROR %v: %v, want %v", test.mode, test.err, err, test.want)
		}
		// A driver that was only resetting sends again.
		k.send = 0
		rings.TX.Consumer.Store(1)
		if err := s.Flush(); (err != nil) != (test.want == ErrGone) {
			t.Errorf("%s, SO_ERROR %v, then well again: %v", test.mode, test.err, err)
		}
		if _, err := s.Statistics(); !errors.Is(err, unix.EIO) {
			t.Errorf("statistics: %v, want the kernel's error", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStrays: a frame that the kernel did not have is not taken from it.
func TestStrays(t *testing.T) {
	rings := Rings{NewRing[uint64](8), NewRing[Desc](8), NewRing[Desc](8), NewRing[uint64](8)}
	s, err := NewFake(Info{Mode: ModeCopy, TxBudget: 8, Frames: 16, FrameSize: 2048}, rings, &stubKernel{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := s.Account() // frames 0 to 7 are filled, 8 to 15 free
	copy(rings.RX.Entries, []Desc{{Addr: 8 * 2048, Len: 1}, {Addr: 256, Len: 2}, {Addr: 16 * 2048, Len: 3}, {Addr: 300, Len: 4}})
	rings.RX.Producer.Store(4)
	var descs [8]Desc
	if n := s.Receive(descs[:]); n != 1 || descs[0] != (Desc{Addr: 256, Len: 2}) {
		t.Errorf("received %d, first %+v; want the one that was filled", n, descs[0])
	}
	want.Filled, want.Held = want.Filled-1, 1
	copy(rings.Completion.Entries, []uint64{256, 0, 8 * 2048, ^uint64(0)})
	rings.Completion.Producer.Store(4)
	s.Recycle()
	if a := s.Account(); a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
	if n := s.counters.strays.Load(); n != 3+4 {
		t.Errorf("%d strays, want 7", n)
	}
}
