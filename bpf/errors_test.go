package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/testutil"
)

// TestExplainLoad is about what root can't provoke; TestPrivileges has the rest.
func TestExplainLoad(t *testing.T) {
	testutil.RequireRoot(t)
	err := explainLoad(fmt.Errorf("create map: %w", ebpf.ErrNotSupported))
	if !errors.Is(err, ErrNotSupported) || !errors.Is(err, ebpf.ErrNotSupported) {
		t.Errorf("no such map on this kernel: %v", err)
	}
	// The verifier's no to somebody with all privileges is not about these.
	if refused := fmt.Errorf("load program: %w", unix.EACCES); explainLoad(refused) != refused {
		t.Errorf("refused by the verifier: %v", explainLoad(refused))
	}
	if err := explainLoad(unix.EPERM); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "container") {
		t.Errorf("refused with all capabilities: %v", err)
	}
	if err := explainLoad(unix.ENOMEM); err != unix.ENOMEM {
		t.Errorf("anything else: %v", err)
	}
}

// TestExplainAttach: what each errno means, and whether the next mode is tried.
func TestExplainAttach(t *testing.T) {
	for _, c := range []struct {
		err   error
		mode  AttachMode
		is    error
		text  string
		final bool
	}{
		{ebpf.ErrNotSupported, Native, ErrNotSupported, "Linux 5.9", true},
		{unix.EBUSY, Native, ErrBusy, "another XDP program is attached to eth7", true},
		{unix.EEXIST, Generic, ErrBusy, "another XDP program is attached to eth7", true},
		{unix.EPERM, Native, fs.ErrPermission, "operation not permitted", true},
		{unix.EOPNOTSUPP, Native, unix.EOPNOTSUPP, "no native XDP", false},
		{unix.ERANGE, Native, unix.ERANGE, "MTU", false},
		{unix.ENOSPC, Native, unix.ENOSPC, "RX queues", false},
		{unix.EINVAL, Native, unix.EINVAL, "LRO", false},
		{unix.EINVAL, Generic, unix.EINVAL, "invalid argument", false},
		{unix.ENOMEM, Native, unix.ENOMEM, "memory", false},
		{errors.New("odd"), Native, nil, "odd", true},
	} {
		err, final := explainAttach(fmt.Errorf("attach link: %w", c.err), c.mode, "eth7")
		if c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) || final != c.final {
			t.Errorf("%v in %s mode: %v, final %v; want %q, final %v", c.err, c.mode, err, final, c.text, c.final)
		}
	}
}
