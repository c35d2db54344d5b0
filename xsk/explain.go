package xsk

import (
	"errors"
	"fmt"
	"net"

	"github.com/safchain/ethtool"
	"golang.org/x/sys/unix"
)

// enotsupp is the kernel's internal ENOTSUPP, which drivers leak (include/linux/errno.h).
const enotsupp = unix.Errno(524)

// explain adds to an error of setting up a socket what its errno means here, and what
// can be done.
func explain(err error, c Config, mtu int) error {
	var errno unix.Errno
	if !errors.As(err, &errno) {
		return err
	}
	switch errno {
	case unix.EBUSY:
		return fmt.Errorf("%w, in this or another process: %w", ErrBusy, err)
	case unix.EPERM, unix.EACCES:
		return fmt.Errorf("%w: AF_XDP needs CAP_NET_RAW (and CAP_NET_ADMIN, CAP_BPF for its XDP program)", err)
	case unix.ENODEV:
		return fmt.Errorf("%w: %w", ErrNoInterface, err)
	case unix.EAFNOSUPPORT:
		return fmt.Errorf("%w: the kernel was built without CONFIG_XDP_SOCKETS: %w", ErrNotSupported, err)
	case unix.EOPNOTSUPP, enotsupp:
		if c.Mode == ModeZeroCopy && c.Share != nil {
			return fmt.Errorf("%w: the driver of %s has no zero-copy, in which the frames of %s are used: %w", ErrNotSupported, c.Interface, c.Share.name, err)
		}
		if c.Mode == ModeZeroCopy {
			return fmt.Errorf("%w: the driver of %s has no zero-copy (mode auto would take copy): %w", ErrNotSupported, c.Interface, err)
		}
		return fmt.Errorf("%w: %w", ErrNotSupported, err)
	case unix.ENOBUFS:
		return fmt.Errorf("%w: the locked-memory limit is too small for %d bytes: raise it (ulimit -l, LimitMEMLOCK=) or give CAP_IPC_LOCK",
			err, uint64(c.Frames)*uint64(c.FrameSize))
	case unix.EINVAL:
		if n := queues(c.Interface); n > 0 && c.Queue >= n {
			return fmt.Errorf("%w: %s has %d (from 0 to %d): %w", ErrNoQueue, c.Interface, n, n-1, err)
		}
		if c.Share != nil {
			return fmt.Errorf("%w: frames that are shared between interfaces or queues need Linux 5.10: %w", ErrNotSupported, err)
		}
		if c.Mode == ModeZeroCopy {
			return fmt.Errorf("%w: an MTU of %d may not fit frames of %d bytes in zero-copy", err, mtu, c.FrameSize)
		}
	}
	return err
}

// queues returns how many queues an AF_XDP socket can bind to on an interface, or 0 if
// its driver does not say.
func queues(name string) int {
	e, err := ethtool.NewEthtool()
	if err != nil {
		return 0
	}
	defer e.Close()
	ch, err := e.GetChannels(name)
	if err != nil {
		return 0
	}
	// xsk_reg_pool_at_qid (net/xdp/xsk.c): either direction will do.
	return int(max(ch.RxCount, ch.TxCount) + ch.CombinedCount)
}

// interfaceByName returns the interface, in the calling thread's network namespace.
func interfaceByName(name string) (*net.Interface, error) {
	device, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %q: %w", name, noInterface(err))
	}
	return device, nil
}

// noInterface turns the standard library's words for a missing interface into
// ErrNoInterface; other errors stay.
func noInterface(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && !errors.As(err, new(unix.Errno)) {
		return ErrNoInterface
	}
	return err
}
