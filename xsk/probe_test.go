package xsk

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/testutil"
)

func TestProbe(t *testing.T) {
	testutil.RequireRoot(t)
	if err := Probe(); err != nil {
		t.Error(err)
	}
}

func TestMissingCapabilities(t *testing.T) {
	const all = 1<<unix.CAP_NET_RAW | 1<<unix.CAP_NET_ADMIN | 1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON
	for _, test := range []struct {
		name      string
		effective uint64
		missing   []string
	}{
		{"all", all, nil},
		{"no raw", all &^ (1 << unix.CAP_NET_RAW), []string{"CAP_NET_RAW"}},
		{"no bpf", all &^ (1 << unix.CAP_BPF), []string{"CAP_BPF"}},
		{"admin instead of bpf", all&^(1<<unix.CAP_BPF) | 1<<unix.CAP_SYS_ADMIN, nil},
		{"no perfmon", all &^ (1 << unix.CAP_PERFMON), []string{"CAP_PERFMON"}},
		{"none", 0, []string{"CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_BPF", "CAP_PERFMON"}},
	} {
		err := missingCapabilities(test.effective)
		if (err == nil) != (test.missing == nil) {
			t.Errorf("%s: %v, want %v missing", test.name, err, test.missing)
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: %v is no permission error", test.name, err)
		}
		for _, c := range capabilities {
			if got, want := strings.Contains(err.Error(), c.name), strings.Contains(strings.Join(test.missing, " "), c.name); got != want {
				t.Errorf("%s: %q names %s: %v, want %v", test.name, err, c.name, got, want)
			}
		}
	}
}

// TestExplain: each errno of a set-up gets its sentinel and keeps itself.
func TestExplain(t *testing.T) {
	for _, test := range []struct {
		errno unix.Errno
		mode  Mode
		is    error
		says  string
	}{
		{unix.EBUSY, ModeCopy, ErrBusy, "in this or another process"},
		{unix.EPERM, ModeCopy, fs.ErrPermission, "CAP_NET_RAW"},
		{unix.ENODEV, ModeCopy, ErrNoInterface, ""},
		{unix.EAFNOSUPPORT, ModeCopy, ErrNotSupported, "CONFIG_XDP_SOCKETS"},
		{unix.EOPNOTSUPP, ModeZeroCopy, ErrNotSupported, "no zero-copy"},
		{enotsupp, ModeZeroCopy, ErrNotSupported, "no zero-copy"},
		{unix.EOPNOTSUPP, ModeCopy, ErrNotSupported, ""},
		{unix.ENOBUFS, ModeCopy, nil, "locked-memory limit is too small for 16777216 bytes"},
		{unix.EINVAL, ModeZeroCopy, nil, "an MTU of 9000 may not fit frames of 2048 bytes"},
		{unix.ENOMEM, ModeCopy, nil, ""},
	} {
		c := Config{Interface: "no-such-eth", Mode: test.mode, FrameSize: 2048}.withDefaults()
		err := explain(test.errno, c, 9000)
		if !errors.Is(err, test.errno) || (test.is != nil && !errors.Is(err, test.is)) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%v in mode %s: %v: want %v and %q", test.errno, test.mode, err, test.is, test.says)
		}
	}
	plain := errors.New("no errno")
	if got := explain(plain, Config{}, 0); got != plain {
		t.Errorf("%v became %v", plain, got)
	}
}
