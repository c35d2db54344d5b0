package xsk

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Poller waits for packets on the sockets of one owner. It is the owner's.
type Poller struct {
	sockets []*Socket
	alarm   *Alarm
	fds     []unix.PollFd // of the sockets, and in the end the alarm's
}

// NewPoller returns a poller of the sockets, of which some may be closed later, that an alarm
// wakes; nil: nothing but a packet does.
func NewPoller(sockets []*Socket, alarm *Alarm) *Poller {
	p := &Poller{sockets, alarm, make([]unix.PollFd, len(sockets)+1)}
	p.fds[len(sockets)] = alarm.pollFD()
	return p
}

// Wait is [Socket.Wait] for all of the sockets: it returns when there is a packet on one of
// them, or the alarm is raised, and the error is the first one's that is gone. Closed ones are
// left out; if there is no other it sleeps.
func (p *Poller) Wait(timeout time.Duration) error {
	for _, s := range p.sockets {
		if s.rx.ready(1) != 0 {
			return nil
		}
	}
	if err := p.known(); err != nil {
		return err
	}
	ready, err := p.poll(max(timeout, 0))
	if err != nil {
		return fmt.Errorf("wait on %d sockets: %w", len(p.sockets), err)
	}
	if !ready {
		return p.Gone()
	}
	return nil
}

// Gone asks the kernel, and returns the error of the first socket that is gone. Wait does so
// when nothing has come; who has always something to do on others asks now and then.
func (p *Poller) Gone() error {
	for _, s := range p.sockets {
		if !s.shut && s.lost() {
			return s.errs.gone
		}
	}
	return nil
}

// known is Gone without a question.
func (p *Poller) known() error {
	for _, s := range p.sockets {
		if !s.shut && s.gone {
			return s.errs.gone
		}
	}
	return nil
}

// Gone reports whether the socket's interface was removed, and the socket is not closed
// yet. It asks the kernel, and is the owner's.
func (s *Socket) Gone() bool { return !s.shut && s.lost() }

// Closed reports whether the socket was closed. It is the owner's.
func (s *Socket) Closed() bool { return s.shut }

func (p *Poller) poll(timeout time.Duration) (ready bool, err error) {
	for i, s := range p.sockets {
		if s.kernel != nil {
			return p.pollFakes(timeout)
		}
		p.fds[i] = s.pollFD[0] // poll leaves out those below 0, of closed sockets
	}
	return pollFor(p.fds, timeout)
}

// pollFakes takes turns, for there is no one thing that fakes, and an alarm, could be awaited by.
func (p *Poller) pollFakes(timeout time.Duration) (ready bool, err error) {
	turn, end := time.Millisecond, time.Now().Add(timeout)
	if len(p.sockets) == 1 && p.alarm == nil {
		turn = timeout
	}
	for {
		left := time.Until(end)
		for _, s := range p.sockets {
			if s.kernel.Poll(min(max(left, 0), turn/time.Duration(len(p.sockets)))) {
				return true, nil
			}
		}
		if ready, err = pollFor(p.fds[len(p.sockets):], 0); ready || err != nil || left <= turn {
			return ready, err
		}
	}
}
