package nic

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// subscription says that the kernel has announced something of some interface: a
// link's change by rtnetlink (MTU, flags, devices above), or queues, features and
// the hash by ethtool's notifications (ETHTOOL_MSG_*_NTF,
// Documentation/networking/ethtool-netlink.rst), whoever has set them and how.
type subscription struct {
	kick    chan struct{} // holds a token when there was something
	sockets []*os.File
	readers sync.WaitGroup
}

// retryTime is for errors: whatever is wrong, not as fast as possible.
const retryTime = 100 * time.Millisecond

func newSubscription() *subscription { return &subscription{kick: make(chan struct{}, 1)} }

func subscribe() (*subscription, error) {
	s := newSubscription()
	err := s.join(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK)
	if err == nil {
		// A kernel before 5.6 or without ethtool's netlink announces nothing; the ticks are left.
		if group, ok := monitorGroup(); ok {
			err = s.join(unix.NETLINK_GENERIC, group)
		}
	}
	if err != nil {
		s.close()
		return nil, fmt.Errorf("subscribe to changes of interfaces: %w", err)
	}
	return s, nil
}

// monitorGroup returns the multicast group of ethtool's notifications.
func monitorGroup() (id uint32, ok bool) {
	ethtool, err := findFamily(unix.ETHTOOL_GENL_NAME)
	if err != nil {
		return 0, false
	}
	id, ok = ethtool.groups[unix.ETHTOOL_MCGRP_MONITOR_NAME]
	return id, ok
}

// join has what a group announces kick.
func (s *subscription) join(protocol int, group uint32) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return err
	}
	err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(group))
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	f := os.NewFile(uintptr(fd), "netlink")
	s.sockets = append(s.sockets, f)
	s.readers.Go(func() { s.read(f) })
	return nil
}

// read kicks for every message, whatever it says: what is so now is asked for anyway. A
// message that was lost (ENOBUFS) is one too.
func (s *subscription) read(f *os.File) {
	b := make([]byte, 32<<10)
	for {
		_, err := f.Read(b)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		select {
		case s.kick <- struct{}{}:
		default:
		}
		if err != nil {
			time.Sleep(retryTime)
		}
	}
}

func (s *subscription) close() {
	for _, f := range s.sockets {
		f.Close()
	}
	s.readers.Wait()
}
