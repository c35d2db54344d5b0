package bpf

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"
)

var (
	// ErrBusy says that somebody else's XDP program is on the interface.
	ErrBusy = errors.New("another XDP program is attached")

	// ErrNotSupported says that the kernel, or its configuration, can't do it.
	ErrNotSupported = errors.New("not supported by this kernel")

	// ErrFull says that more was asked for than the maps are sized for.
	ErrFull = errors.New("over the limit")
)

// explainLoad says what is missing when the kernel refused the program or a map.
func explainLoad(err error) error {
	switch {
	case isPermission(err):
		return explainPermission(err)
	case errors.Is(features.HaveMapType(ebpf.XSKMap), ebpf.ErrNotSupported):
		return fmt.Errorf("%w: it has no socket maps for AF_XDP (CONFIG_XDP_SOCKETS): %w", ErrNotSupported, err)
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("%w: %w", ErrNotSupported, err)
	}
	return err
}

// isPermission tells a lack of privileges from the verifier's refusal of a
// program, which is EACCES too.
func isPermission(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) && len(missingCapabilities()) > 0
}

func explainPermission(err error) error {
	if missing := missingCapabilities(); len(missing) > 0 {
		return fmt.Errorf("%w (missing: %s)", err, strings.Join(missing, ", "))
	}
	return fmt.Errorf("%w (root of a container? its capabilities must be the machine's own)", err)
}

// missingCapabilities names those that the program needs and the calling thread
// does not have: CAP_PERFMON is for packet pointers with a variable offset, which
// options, tags and extension headers bring about (kernel/bpf/verifier.c,
// sanitize_ptr_alu).
func missingCapabilities() (missing []string) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return nil
	}
	has := func(c int) bool { return sets[c/32].Effective>>(c%32)&1 == 1 }
	if !has(unix.CAP_BPF) && !has(unix.CAP_SYS_ADMIN) {
		missing = append(missing, "CAP_BPF")
	}
	if !has(unix.CAP_NET_ADMIN) {
		missing = append(missing, "CAP_NET_ADMIN")
	}
	if !has(unix.CAP_PERFMON) && !has(unix.CAP_SYS_ADMIN) {
		missing = append(missing, "CAP_PERFMON")
	}
	return missing
}
