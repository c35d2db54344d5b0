package neighbour

import (
	"fmt"
	"sync/atomic"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// groups are the netlink multicast groups of all that a Snapshot is made from.
var groups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
}

// subscription says that something has changed, and never what: its reader looks
// at the tables as they are. So a message that is lost because the socket's buffer
// was full (ENOBUFS) costs nothing, as long as one gets through after it.
type subscription struct {
	socket  *nl.NetlinkSocket
	changed chan struct{} // holds a token when there is news
	closing atomic.Bool
	ended   chan struct{}
}

func subscribe() (*subscription, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return nil, fmt.Errorf("subscribe to netlink: %w", err)
	}
	s := &subscription{socket: socket, changed: make(chan struct{}, 1), ended: make(chan struct{})}
	go s.read()
	return s, nil
}

func (s *subscription) read() {
	defer close(s.ended)
	for {
		_, _, err := s.socket.Receive()
		if err != nil && s.closing.Load() {
			return
		}
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

func (s *subscription) close() {
	s.closing.Store(true)
	s.socket.Close()
	<-s.ended
}
