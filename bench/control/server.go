package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/peer"
)

// BackendsTask names the handler of [Backends], which is [ServeBackends], for
// [child.Main].
const BackendsTask = "control/backends"

// Backends is the task of a child that is all backends, until it is killed: it accepts
// connections over TCP, and closes each at once. However many come together, it needs no
// more descriptors than it has addresses, and one. It says when it listens.
type Backends struct {
	Listen []netip.AddrPort // IPv4
	CPUs   []int
}

// ServeBackends is the child's handler of [Backends].
func ServeBackends(task json.RawMessage, out *child.Out) error {
	var t Backends
	if err := json.Unmarshal(task, &t); err != nil {
		return fmt.Errorf("read task: %w", err)
	}
	runtime.LockOSThread()
	if err := peer.PinProcess(os.Getpid(), t.CPUs); err != nil {
		return err
	}
	var fds []unix.PollFd
	for _, a := range t.Listen {
		fd, err := listen(a)
		if err != nil {
			return err
		}
		fds = append(fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	out.Progress("ready")
	for {
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait for connections: %w", err)
		}
		for _, p := range fds {
			if p.Revents == 0 {
				continue
			}
			if err := accept(int(p.Fd)); err != nil {
				return err
			}
		}
	}
}

// listen opens a socket that does not block.
func listen(a netip.AddrPort) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())})
	}
	if err == nil {
		err = unix.Listen(fd, 65535) // the kernel takes its own limit, if that is less
	}
	if err != nil {
		return -1, fmt.Errorf("listen on %s: %w", a, err)
	}
	return fd, nil
}

// accept takes all connections that wait, and closes them.
func accept(listener int) error {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			unix.Close(fd)
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.ECONNABORTED), errors.Is(err, unix.EINTR):
		default:
			return fmt.Errorf("accept: %w", err)
		}
	}
}
