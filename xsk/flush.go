package xsk

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxKicks bounds the system calls of one Flush. It is reached when each packet
	// is dropped singly (EBUSY), or with a ring of 8192 or more that is full on a
	// kernel before 6.17, which sends 32 packets a call.
	maxKicks = 256

	// maxStalls is how many kicks in a row may move nothing before Flush gives up.
	// One more than 1 because the first may have found the completion ring full.
	maxStalls = 2
)

// socketErrors are made once, because a link that is down would else cost an
// allocation a batch.
type socketErrors struct {
	down, gone, notReady error
}

func newSocketErrors(name string) socketErrors {
	return socketErrors{
		down:     fmt.Errorf("send on %s: %w (%w)", name, ErrLinkDown, unix.ENETDOWN),
		gone:     fmt.Errorf("%s: %w", name, ErrGone),
		notReady: fmt.Errorf("send on %s: %w: the driver has not set up the queue (%w)", name, ErrLinkDown, unix.ENXIO),
	}
}

// Flush has the kernel send what is on the TX ring, if it waits to be told. It never
// blocks and never calls without end: what the kernel does not take now stays on the
// ring for the next Flush (see Pending), which is no error. Errors are ErrLinkDown
// (nothing is lost: back off, flush again) and ErrGone (close the socket).
//
// Success is judged by what the kernel took, not by errno, which says little in copy
// mode (__xsk_generic_xmit of net/xdp/xsk.c): with one exception, EBUSY.
func (s *Socket) Flush() error {
	if s.gone {
		return s.errs.gone
	}
	if s.detour != nil {
		return s.detour.take()
	}
	before := s.tx.pending()
	if before == 0 {
		return nil
	}
	s.tx.show()
	if !s.tx.needsWakeup() {
		return nil
	}
	if s.info.Mode == ModeZeroCopy {
		return s.wakeDriver()
	}
	stalls := 0
	for kicks := range maxKicks {
		// The kernel sends only what it has room for on the completion ring, and
		// says EAGAIN, or nothing on older kernels, when there is none.
		if kicks > 0 {
			s.reclaim()
		}
		errno := s.kick()
		left := s.tx.pending()
		s.tx.show()
		moved := left != before
		switch errno {
		case 0, unix.EINTR:
		case unix.EAGAIN:
			// The budget of a call is used up, the send buffer or the completion
			// ring is full, or the interface's queue is.
			s.counters.again.Add(1)
		case unix.EBUSY:
			// The interface dropped a packet, which is "completed but not sent",
			// and the kernel stopped after it. One was always taken off the ring,
			// though up to Linux 6.17 that is not always to be seen there (see
			// txRing).
			s.counters.dropped.Add(1)
			moved = true
		case unix.ENOBUFS:
			s.counters.again.Add(1)
			return nil // out of memory for now
		default:
			return s.sendError(errno)
		}
		if left == 0 {
			return nil
		}
		if moved {
			stalls = 0
		} else if stalls++; stalls == maxStalls {
			return nil
		}
		before = left
	}
	return nil
}

// wakeDriver has a zero-copy driver look at the TX ring. Once is enough: ndo_xsk_wakeup
// only sees to it that the driver's NAPI runs, and as a rule returns before it has. What
// that leaves on the ring it comes back for by itself, or it sets the flag again for the
// next Flush.
func (s *Socket) wakeDriver() error {
	switch errno := s.kick(); errno {
	case 0, unix.EINTR:
		return nil
	case unix.EAGAIN, unix.EBUSY, unix.ENOBUFS: // the queue is being set up anew
		s.counters.again.Add(1)
		return nil
	default:
		return s.sendError(errno)
	}
}

// sendError returns the error of a call that failed for more than the moment.
func (s *Socket) sendError(errno unix.Errno) error {
	switch errno {
	case unix.ENETDOWN:
		return s.errs.down
	case unix.ENXIO:
		return s.unbound()
	default:
		return fmt.Errorf("send on %s: %w: %w", s.name, ErrLinkDown, errno)
	}
}

// unbound tells apart the two meanings of ENXIO: the socket has lost its interface,
// or a zero-copy driver's ndo_xsk_wakeup finds its queue not ready (i40e, ixgbe and
// ice do so during resets).
func (s *Socket) unbound() error {
	if s.info.Mode == ModeZeroCopy && !s.lost() {
		return s.errs.notReady
	}
	s.gone = true
	return s.errs.gone
}

// lost asks whether the interface was unregistered, and remembers it: xsk_notifier
// (net/xdp/xsk.c) leaves ENETDOWN as the socket's error, which can be read but once.
// Link-down does not.
func (s *Socket) lost() bool {
	if !s.gone && s.pendingError() == unix.ENETDOWN {
		s.gone = true
	}
	return s.gone
}

// Wait returns when there is a packet to Receive, when timeout has passed, or now and
// then for no reason. It returns ErrGone when the interface was removed, of which
// poll(2) itself never tells: an unbound socket is just silent.
//
// In copy mode poll also sends a batch of what is on the TX ring; it does not replace
// Flush.
func (s *Socket) Wait(timeout time.Duration) error {
	if s.rx.ready(1) != 0 {
		return nil
	}
	if s.gone {
		return s.errs.gone
	}
	ready, err := s.poll(max(timeout, 0))
	if err != nil {
		return fmt.Errorf("wait on %s: %w", s.name, err)
	}
	if !ready && s.lost() {
		return s.errs.gone
	}
	return nil
}
