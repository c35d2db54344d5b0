package xsk

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Probe tells whether this kernel and this process can do AF_XDP at all, by making and
// closing an unbound socket with a UMEM of a page. Its error names everything that is
// missing; it wraps ErrNotSupported where the kernel is at fault and fs.ErrPermission
// where a privilege is.
func Probe() error {
	privilege, socket := probeCapabilities(), probeSocket()
	switch {
	case !errors.Is(socket, unix.EPERM):
	case privilege != nil:
		socket = nil // the same again
	default:
		socket = fmt.Errorf("%w (its capabilities are a user namespace's, as in a rootless container; AF_XDP and BPF want the machine's own)", socket)
	}
	return errors.Join(privilege, socket)
}

// capabilities that the program and its sockets need: capabilities(7).
var capabilities = []struct {
	bit  uint
	name string
	why  string
}{
	{unix.CAP_NET_RAW, "CAP_NET_RAW", "AF_XDP sockets"},
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN", "attaching the XDP program"},
	{unix.CAP_BPF, "CAP_BPF", "loading the XDP program"},
	{unix.CAP_PERFMON, "CAP_PERFMON", "the XDP program's pointer arithmetic"},
}

func probeCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	return missingCapabilities(uint64(data[1].Effective)<<32 | uint64(data[0].Effective))
}

func missingCapabilities(effective uint64) error {
	has := func(bit uint) bool { return effective>>bit&1 != 0 }
	var missing []string
	for _, c := range capabilities {
		// CAP_BPF and CAP_PERFMON were split off from CAP_SYS_ADMIN, which still
		// contains them.
		split := c.bit == unix.CAP_BPF || c.bit == unix.CAP_PERFMON
		if !has(c.bit) && !(split && has(unix.CAP_SYS_ADMIN)) {
			missing = append(missing, fmt.Sprintf("%s (%s)", c.name, c.why))
		}
	}
	if missing == nil {
		return nil
	}
	return fmt.Errorf("missing privilege: %s: %w", strings.Join(missing, ", "), unix.EPERM)
}

func probeSocket() error {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: the kernel was built without AF_XDP (CONFIG_XDP_SOCKETS)", ErrNotSupported)
	case err != nil:
		return fmt.Errorf("create AF_XDP socket: %w", err)
	}
	defer unix.Close(fd)
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("map a page: %w", err)
	}
	defer unix.Munmap(page)
	if err := registerUMEM(fd, page, 4096, 0); errors.Is(err, unix.ENOBUFS) {
		return fmt.Errorf("register UMEM: no locked memory: raise the limit (ulimit -l, LimitMEMLOCK=) or give CAP_IPC_LOCK: %w", err)
	} else if err != nil {
		return fmt.Errorf("register UMEM: %w", err)
	}
	return nil
}
