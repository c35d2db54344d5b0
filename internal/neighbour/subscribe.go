package neighbour

import (
	"errors"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// groups are the netlink multicast groups of all that a Snapshot is made from.
var groups = []uint{
	unix.RTNLGRP_LINK, unix.RTNLGRP_NEIGH,
	unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
	unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE,
}

// subscription says that something has changed, and never what: its reader looks
// at the tables as they are. So a message that is lost because the socket's buffer
// was full (ENOBUFS) costs nothing, as long as one gets through after it.
type subscription struct {
	socket  *nl.NetlinkSocket
	changed chan struct{} // holds a token when there is news
	closing chan struct{}
	ended   chan struct{}
}

func subscribe() (*subscription, error) {
	socket, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
	if err != nil {
		return nil, fmt.Errorf("subscribe to netlink: %w", err)
	}
	s := &subscription{socket: socket, changed: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{})}
	go s.read()
	return s, nil
}

func (s *subscription) read() {
	defer close(s.ended)
	for {
		_, _, err := s.socket.Receive()
		select {
		case s.changed <- struct{}{}:
		default: // said already
		}
		if err == nil || errors.Is(err, unix.ENOBUFS) {
			continue
		}
		select { // whatever is wrong, not as fast as possible
		case <-s.closing:
			return
		case <-time.After(time.Second):
		}
	}
}

func (s *subscription) close() {
	close(s.closing)
	s.socket.Close()
	<-s.ended
}
