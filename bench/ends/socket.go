package ends

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// open opens a socket for an address. kind is more of what SOCK_STREAM takes.
func open(protocol string, a netip.AddrPort, kind int) (int, error) {
	family := unix.AF_INET
	if a.Addr().Is6() {
		family = unix.AF_INET6
	}
	t := unix.SOCK_STREAM
	if protocol == "udp" {
		t = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(family, t|kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a %s socket: %w", protocol, err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	}
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// listen opens a socket that does not block, and takes what comes to an address.
func listen(protocol string, at netip.AddrPort) (int, error) {
	fd, err := open(protocol, at, unix.SOCK_NONBLOCK)
	if err != nil {
		return -1, err
	}
	err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err == nil {
		err = unix.Bind(fd, sockaddr(at))
	}
	if err == nil && protocol == "tcp" {
		err = noDelay(fd) // which connections inherit
	}
	if err == nil && protocol == "tcp" {
		err = unix.Listen(fd, 65535) // the kernel takes its own limit, if that is less
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("listen on %s %s: %w", protocol, at, err)
	}
	return fd, nil
}

// patience is how long an answer may take. A datagram that was lost does not come
// again; a connection sends what was lost again by itself, after 200 ms and more.
func patience(protocol string) time.Duration {
	if protocol == "udp" {
		return 200 * time.Millisecond
	}
	return 3 * time.Second
}

// dial opens a socket that blocks, and connects it.
func dial(protocol string, to netip.AddrPort) (int, error) {
	fd, err := open(protocol, to, 0)
	if err != nil {
		return -1, err
	}
	limit := unix.NsecToTimeval(patience(protocol).Nanoseconds())
	for _, option := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} { // connecting heeds that for sending
		if err == nil {
			err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, option, &limit)
		}
	}
	if err == nil && protocol == "tcp" {
		err = noDelay(fd)
	}
	if err == nil {
		err = again(func() error { return unix.Connect(fd, sockaddr(to)) })
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("connect to %s %s: %w", protocol, to, err)
	}
	return fd, nil
}

// noDelay has small messages sent at once.
func noDelay(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

// again repeats a call that a signal has interrupted, as Go's runtime sends some.
func again(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// read is read(2), repeated if a signal comes.
func read(fd int, b []byte) (int, error) {
	for {
		if n, err := unix.Read(fd, b); err != unix.EINTR {
			return n, err
		}
	}
}

// poller is an epoll instance whose events are told by file descriptor.
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	return &poller{fd: fd}, nil
}

// watch tells of events of a descriptor from now on, those that are there too. Without
// unix.EPOLLET it does until they are dealt with.
func (p *poller) watch(fd int, events uint32) error {
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("watch a socket: %w", err)
	}
	return nil
}

// wait returns the descriptors for which something has happened; none after so many
// milliseconds, -1 for ever.
func (p *poller) wait(ms int) ([]unix.EpollEvent, error) {
	for {
		n, err := unix.EpollWait(p.fd, p.events[:], ms)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("wait for sockets: %w", err)
		}
		return p.events[:n], nil
	}
}
