package egress

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// groups are the netlink multicast groups of all that a Snapshot is made from.
var groups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
	unix.RTNLGRP_NEXTHOP,
}

const (
	// gatherTime is how long a burst gathers in the socket: thousands of changes wake
	// the reader a hundred times a second.
	gatherTime = 10 * time.Millisecond
	// gatherBytes is the socket's buffer, of which an event takes about a kilobyte.
	gatherBytes = 4 << 20
	// batchSize bounds the events that are handed on at a time.
	batchSize = 1024
	// retryTime is for errors: whatever is wrong, not as fast as possible.
	retryTime = 100 * time.Millisecond
)

// subscription reads what the kernel announces, in the network namespace of whoever
// made it.
type subscription struct {
	socket  *os.File
	batches chan []event // one at a time; what comes meanwhile waits in the socket
	closing chan struct{}
	ended   chan struct{}
}

func subscribe() (*subscription, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("subscribe to netlink: %w", err)
	}
	address := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for _, g := range groups {
		address.Groups |= 1 << (g - 1)
	}
	// Without the privilege it is what net.core.rmem_max allows, and overruns cost a look at everything.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, gatherBytes) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, gatherBytes)
	}
	if err := unix.Bind(fd, address); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("subscribe to netlink: %w", err)
	}
	s := &subscription{
		socket: os.NewFile(uintptr(fd), "netlink"), batches: make(chan []event),
		closing: make(chan struct{}), ended: make(chan struct{}),
	}
	go s.read()
	return s, nil
}

// read hands events on until the subscription is closed.
func (s *subscription) read() {
	defer close(s.ended)
	buf := make([]byte, 64<<10) // more than the kernel puts in a datagram
	for {
		batch, err := s.receive(buf)
		if len(batch) > 0 {
			select {
			case s.batches <- batch:
			case <-s.closing:
				return
			}
		}
		pause := gatherTime
		if err != nil {
			pause = retryTime
		}
		select {
		case <-s.closing:
			return
		case <-time.After(pause):
		}
	}
}

// receive waits for events and returns all that are there. A message that was lost
// since the buffer was full (ENOBUFS), or by another error, may have been about
// anything.
func (s *subscription) receive(buf []byte) (batch []event, err error) {
	raw, err := s.socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	received := false
	wait := raw.Read(func(fd uintptr) (done bool) {
		for len(batch) < batchSize {
			n, rerr := unix.Read(int(fd), buf)
			switch {
			case errors.Is(rerr, unix.EAGAIN):
				return received
			case errors.Is(rerr, unix.EINTR):
				continue
			case errors.Is(rerr, unix.ENOBUFS):
				batch = append(batch, event{})
			case rerr != nil:
				batch, err = append(batch, event{}), rerr
				return true
			default:
				batch = parse(batch, buf[:n])
			}
			received = true
		}
		return true
	})
	return batch, errors.Join(err, wait)
}

func (s *subscription) close() {
	close(s.closing)
	s.socket.Close()
	<-s.ended
}
