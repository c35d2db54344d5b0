package ends

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/result"
)

// connector opens connections, so many at a time. Each asks one question and is closed
// by the client when it is answered, as most are.
type connector struct {
	task    *Task
	poll    *poller
	open    map[int]*attempt
	message message
	buf     [2 * size]byte

	done, failed int
	why          error // of the first that failed
}

// Why is the label of a sample that says why the first request failed.
const Why = "why"

// attempt is one connection.
type attempt struct {
	asked bool
	have  int // bytes of the answer
}

func (t *Task) connect() (result.Sample, error) {
	p, err := newPoller()
	if err != nil {
		return result.Sample{}, err
	}
	defer unix.Close(p.fd)
	c := &connector{task: t, poll: p, open: map[int]*attempt{}, message: newMessage()}
	for range t.Sockets {
		if err := c.next(&attempt{}); err != nil {
			return result.Sample{}, err
		}
	}
	if _, err := c.run(t.Duration/10, true); err != nil { // to warm up
		return result.Sample{}, err
	}
	before := c.done
	took, err := c.run(t.Duration, true)
	if err != nil {
		return result.Sample{}, err
	}
	rate := perSecond(c.done-before, took)
	if _, err := c.run(patience("tcp"), false); err != nil {
		return result.Sample{}, err
	}
	c.failed += len(c.open)
	if c.why == nil && len(c.open) > 0 {
		c.why = fmt.Errorf("%d had no answer after %v", len(c.open), patience("tcp"))
	}
	for fd := range c.open {
		unix.Close(fd)
	}
	if c.done == 0 {
		return result.Sample{}, fmt.Errorf("no connection to %s: %w", t.Server, c.why)
	}
	s := result.Sample{Values: []result.Value{{Name: "rate", V: rate}, {Name: "done", V: float64(c.done)}, {Name: "failed", V: float64(c.failed)}}}
	if c.why != nil {
		s.Labels = map[string]string{Why: c.why.Error()}
	}
	return s, nil
}

// next begins a connection.
func (c *connector) next(a *attempt) error {
	fd, err := open("tcp", c.task.Server, unix.SOCK_NONBLOCK)
	if err != nil {
		return err
	}
	*a = attempt{}
	c.open[fd] = a
	if err := unix.Connect(fd, sockaddr(c.task.Server)); err != nil && err != unix.EINPROGRESS {
		c.fail(fd, fmt.Errorf("connect: %w", err))
		return nil
	}
	// Once for each edge: when it is connected, and when there is an answer.
	return c.poll.watch(fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLET)
}

// run goes on for so long, with new connections for those that are done if more is
// set, else until none is left.
func (c *connector) run(d time.Duration, more bool) (took time.Duration, err error) {
	begun := time.Now()
	for {
		took = time.Since(begun)
		if took >= d || len(c.open) == 0 {
			return took, nil
		}
		events, err := c.poll.wait(stall)
		if err != nil {
			return took, err
		}
		for _, e := range events {
			fd := int(e.Fd)
			a := c.open[fd]
			if a == nil || !c.step(fd, a, e.Events) {
				continue
			}
			if more {
				if err := c.next(a); err != nil {
					return took, err
				}
			}
		}
	}
}

// step takes a connection further; over says that it has come to its end.
func (c *connector) step(fd int, a *attempt, events uint32) (over bool) {
	if !a.asked && events&unix.EPOLLOUT != 0 {
		// If it is not connected, this says why.
		if n, err := unix.Write(fd, c.message[:]); n != size {
			return c.fail(fd, fmt.Errorf("connect and ask: %w", err))
		}
		a.asked = true
	}
	if events&^uint32(unix.EPOLLOUT) == 0 {
		return false
	}
	n, err := read(fd, c.buf[a.have:])
	switch {
	case err == unix.EAGAIN:
		return false
	case err != nil:
		return c.fail(fd, fmt.Errorf("await an answer: %w", err))
	case n == 0:
		return c.fail(fd, errors.New("await an answer: the connection was closed"))
	}
	// A message of this size does not come in parts. Should it, the buffer's beginning is
	// another connection's by then, and the check fails.
	if a.have += n; a.have < size {
		return false
	}
	if _, err := check(c.buf[:a.have]); err != nil {
		return c.fail(fd, err)
	}
	c.done++
	delete(c.open, fd)
	unix.Close(fd)
	return true
}

// fail counts a connection that did not work.
func (c *connector) fail(fd int, err error) (over bool) {
	c.failed++
	if c.why == nil {
		c.why = err
	}
	delete(c.open, fd)
	unix.Close(fd)
	return true
}
