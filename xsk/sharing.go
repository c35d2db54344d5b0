package xsk

import (
	"errors"
	"fmt"
	"sync"
)

// Several sockets of one owner may share a UMEM: on other queues, and since Linux 5.10 on
// other interfaces (XDP_SHARED_UMEM; Documentation/networking/af_xdp.rst). Each has its own
// four rings, and the ledger says of each frame that the kernel has by which of the sockets
// it has it: it can only come back there.

// sharing is who shares a UMEM. A socket may join while the owner is at work with others;
// the frames stay the owner's alone.
type sharing struct {
	mu      sync.Mutex
	open    int      // sockets that are open
	gone    bool     // the memory is
	members []member // by number; a number is used again when its frames are back
}

type member struct {
	endpoint
	state memberState
}

// endpoint is what a socket is bound to.
type endpoint struct{ index, queue int }

type memberState uint8

const (
	vacant memberState = iota
	open
	left // closed, but the kernel may still have frames of it
)

// kindBits of a hand say what is done with the frame.
const kindBits = 2

// maxMembers is how many sockets can share a UMEM.
const maxMembers = 1 << (8 - kindBits)

// handOf returns the hand of the kernel, filled or transmit, by way of a member.
func handOf(kind hand, member int) hand { return kind | hand(member<<kindBits) }

func (h hand) kind() hand { return h & (1<<kindBits - 1) }

// join adds a socket that has been bound, and returns its number, and whether the memory is
// still there. Where one was left, the kernel has nothing any more of what it had there: it
// lets a queue be bound only after what the socket before had in flight has come back
// (xp_release_deferred of net/xdp/xsk_buff_pool.c). The owner has to take that back.
func (s *sharing) join(at endpoint) (n int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return 0, false
	}
	s.open++
	n = -1
	for i, m := range s.members {
		if m.state == left && m.endpoint == at {
			n = i
			break
		}
		if m.state == vacant && n < 0 {
			n = i
		}
	}
	if n < 0 {
		n = len(s.members)
		s.members = append(s.members, member{})
	}
	s.members[n] = member{at, open}
	return n, true
}

// leave is for a socket that was closed. If its interface is gone, so is all that the
// kernel did with its frames, and they are free (xsk_notifier of net/xdp/xsk.c). If not, a
// driver may go on to write to them, or to read, for a while, and nobody tells how long:
// they stay where they are until the queue is bound again. With the last socket the memory
// goes.
//
// One that never was used, which settled tells, may leave while the owner is at work with
// others. It looks at no frame: some may be of the socket before it.
func (u *UMEM) leave(n int, gone, settled bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.open--
	u.members[n].state = left
	if settled && (gone || !u.has(n)) {
		u.takeBack(n)
		u.members[n] = member{}
	}
	return u.discard()
}

// discard gives the memory up, unless a socket uses it. The lock is held, or nobody else
// knows of the UMEM.
func (u *UMEM) discard() error {
	if u.open > 0 || u.gone {
		return nil
	}
	u.gone = true
	// A late call of the owner must meet no frames, and not unmapped memory.
	u.memory = nil
	u.ledger = ledger{ledgerHead: new(ledgerHead)}
	u.longs = nil
	return u.release()
}

// has reports whether the kernel has frames by way of member n.
func (u *UMEM) has(n int) bool {
	for _, h := range u.hands {
		if h == handOf(filled, n) || h == handOf(transmit, n) {
			return true
		}
	}
	return false
}

// takeBack moves the frames that the kernel had by way of member n to the free list.
func (u *UMEM) takeBack(n int) {
	for i, h := range u.hands {
		if h == handOf(filled, n) || h == handOf(transmit, n) {
			u.hands[i] = free
			u.top()[0] = uint32(i)
			u.counted(1, h.kind(), free)
		}
	}
}

// share checks that a socket on an interface of the MTU can use the UMEM of c.Share, if
// it is to, and takes over what must be as there.
func (c *Config) share(index, mtu int) error {
	if c.Share == nil {
		return nil
	}
	with, why := &c.Share.info, ""
	size, err := frameSizeFor(mtu, with.Mode, 0, with.MultiBuffer)
	switch {
	case c.Share.FD() < 0:
		return fmt.Errorf("share the frames of %s: %w", c.Share.name, ErrClosed)
	case c.Share.umem.serves(endpoint{index, c.Queue}):
		return ErrBusy
	case c.Driver != DriverNative || with.Driver != DriverNative:
		why = fmt.Sprintf("driver %s has one socket alone on its frames (driver native can share them)", DriverAsavie)
	case c.Mode == ModeZeroCopy && with.Mode != ModeZeroCopy, c.Mode != ModeZeroCopy && c.Mode != ModeAuto && with.Mode == ModeZeroCopy:
		why = fmt.Sprintf("mode %s where the frames are used in %s", c.Mode, with.Mode)
	case err != nil, !with.MultiBuffer && (size > with.FrameSize || c.MultiBuffer && mtu > with.MaxMTU()):
		why = fmt.Sprintf("an MTU of %d does not fit into frames of %d bytes", mtu, with.FrameSize)
	case c.Share.umem.full():
		why = fmt.Sprintf("%d sockets do already", maxMembers)
	}
	if why != "" {
		return fmt.Errorf("share the frames of %s: %w: %s", c.Share.name, ErrNotSupported, why)
	}
	c.Mode, c.Frames, c.FrameSize = with.Mode, with.Frames, with.FrameSize
	return nil
}

// serves reports whether a socket of the UMEM is bound there.
func (s *sharing) serves(at endpoint) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		if m == (member{at, open}) {
			return true
		}
	}
	return false
}

// full reports whether there is a number for no further socket.
func (s *sharing) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		if m.state == vacant {
			return false
		}
	}
	return len(s.members) == maxMembers
}

// whyCopyToo says why a socket that shares the frames of s is in copy mode.
func (s *Socket) whyCopyToo() string {
	return fmt.Sprintf("it shares the frames of %s, which is in copy mode", s.name)
}

// OpenSender makes a socket for an interface that has no queue for the owner of share, or
// no more than another owner needs: it receives nothing, and sends by a packet socket, with
// whichever TX queue there is, what was received on others that share its UMEM. Any
// goroutine may call it, as [Open].
func OpenSender(name string, share *Socket) (*Socket, error) {
	device, err := interfaceByName(name)
	if err != nil {
		return nil, err
	}
	if share.FD() < 0 {
		return nil, fmt.Errorf("send on %s from the frames of %s: %w", name, share.name, ErrClosed)
	}
	of := share.info
	s, err := newSocket(name, Info{
		Interface: name, Index: device.Index, Queue: NoQueue, Driver: of.Driver, Mode: ModeCopy,
		Frames: of.Frames, FrameSize: of.FrameSize, MaxPacket: of.MaxPacket, MultiBuffer: of.MultiBuffer, Shared: true,
	}, -1, share.umem, noRings(), func() error { return nil })
	if err != nil {
		return nil, err
	}
	if err := s.openDetour(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), s.Close())
	}
	return s, nil
}

// NoQueue is the queue of a socket that only sends.
const NoQueue = -1

// noRings are rings on which nothing ever is.
func noRings() Rings {
	return Rings{NewRing[uint64](0), NewRing[Desc](0), NewRing[Desc](0), NewRing[uint64](0)}
}
