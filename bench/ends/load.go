package ends

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/result"
)

// loader is sockets on which questions are asked, each a flow.
type loader struct {
	poll            *poller
	fds             []int
	part            map[int]int // bytes of an answer that is not yet whole, by socket
	message         message
	asked, answered int
	buf             [64 << 10]byte
}

func newLoader(t *Task) (*loader, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &loader{poll: p, part: map[int]int{}, message: newMessage()}
	for range t.Sockets {
		fd, err := dial(t.Protocol, t.Server)
		if err == nil {
			l.fds = append(l.fds, fd)
			err = errors.Join(unix.SetNonblock(fd, true), p.watch(fd, unix.EPOLLIN))
		}
		if err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *loader) close() {
	for _, fd := range l.fds {
		unix.Close(fd)
	}
	unix.Close(l.poll.fd)
}

// ask asks one question. It is not asked if the socket is full.
func (l *loader) ask(fd int) error {
	l.message.number(uint64(l.asked))
	n, err := unix.Write(fd, l.message[:])
	switch {
	case err == nil && n == size:
		l.asked++
		return nil
	case err == unix.EAGAIN || err == unix.ENOBUFS || err == unix.EINTR:
		return nil
	case err == nil:
		return errors.New("ask: half of a question was sent")
	}
	return fmt.Errorf("ask: %w", err)
}

// take reads what answers a socket has, up to its buffer, and returns how many became
// whole. What is at rest of a stream is bytes that were seen.
func (l *loader) take(fd int) (int, error) {
	have := l.part[fd]
	n, err := read(fd, l.buf[have:])
	switch {
	case err == unix.EAGAIN:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("await an answer: %w", err)
	case n == 0:
		return 0, errors.New("await an answer: the connection was closed")
	}
	whole := (have + n) / size
	for i := range whole {
		if have > 0 && i == 0 {
			continue // its beginning is gone
		}
		number, err := check(l.buf[i*size : (i+1)*size])
		if err != nil {
			return 0, err
		}
		if number >= uint64(l.asked) {
			return 0, fmt.Errorf("answer to question %d, asked were %d", number, l.asked)
		}
	}
	if l.part[fd] = (have + n) % size; l.part[fd] == 0 {
		delete(l.part, fd)
	}
	l.answered += whole
	return whole, nil
}

// load asks again on each socket as soon as there is an answer.
func (t *Task) load() ([]result.Value, error) {
	l, err := newLoader(t)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := l.askAll(); err != nil {
		return nil, err
	}
	if err := l.closedLoop(t.Duration / 10); err != nil { // to warm up
		return nil, err
	}
	before, begun := l.answered, time.Now()
	if err := l.closedLoop(t.Duration); err != nil {
		return nil, err
	}
	took := time.Since(begun)
	rate := perSecond(l.answered-before, took)
	if err := l.drain(); err != nil {
		return nil, err
	}
	return []result.Value{{Name: "rate", V: rate}, {Name: "done", V: float64(l.answered)}, {Name: "failed", V: float64(l.asked - l.answered)}}, nil
}

// stall is after how many milliseconds without any answer all are taken for lost.
const stall = 50

// askAll asks one question on each socket.
func (l *loader) askAll() error {
	for _, fd := range l.fds {
		if err := l.ask(fd); err != nil {
			return err
		}
	}
	return nil
}

// closedLoop keeps one question open on each socket.
func (l *loader) closedLoop(d time.Duration) error {
	for begun := time.Now(); time.Since(begun) < d; {
		events, err := l.poll.wait(stall)
		if err == nil && len(events) == 0 {
			err = l.askAll()
		}
		if err != nil {
			return err
		}
		for _, e := range events {
			n, err := l.take(int(e.Fd))
			if err == nil && n > 0 {
				err = l.ask(int(e.Fd))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// drain takes the answers that are on their way.
func (l *loader) drain() error {
	for l.answered < l.asked {
		events, err := l.poll.wait(4 * stall)
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			if _, err := l.take(int(e.Fd)); err != nil {
				return err
			}
		}
	}
	return nil
}

// beside asks at the task's rate on a thread of its own, whatever the answers do, until
// stop is called.
func (t *Task) beside() (stop func() ([]result.Value, error), err error) {
	if t.Rate == 0 {
		return func() ([]result.Value, error) { return nil, nil }, nil
	}
	l, err := newLoader(t)
	if err != nil {
		return nil, err
	}
	var ended atomic.Bool
	done := make(chan error, 1)
	begun := time.Now()
	go func() {
		runtime.LockOSThread()
		done <- l.openLoop(t.Rate, &ended)
	}()
	return func() ([]result.Value, error) {
		defer l.close()
		ended.Store(true)
		err := <-done
		rate := perSecond(l.asked, time.Since(begun))
		if err == nil {
			err = l.drain()
		}
		return []result.Value{{Name: "rate", V: rate}, {Name: "unanswered", V: 1 - float64(l.answered)/float64(max(l.asked, 1))}}, err
	}, nil
}

// openLoop asks what is due by the clock, by turns on all sockets, a few questions at a
// time: the sockets' turns are longer than their answers take.
func (l *loader) openLoop(rate float64, ended *atomic.Bool) error {
	const pause = 50 * time.Microsecond
	// Sleep as long as asked for: by default it may be 50 µs more.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set the timer slack: %w", err)
	}
	nap := unix.NsecToTimespec(pause.Nanoseconds())
	for begun, next := time.Now(), 0; !ended.Load(); {
		// What could not be asked in time is not made good at once: it would be a burst
		// that nobody asked for. The rate that came about is told.
		due := min(time.Since(begun).Seconds()*rate-float64(l.asked), 2+2*rate*pause.Seconds())
		for ; due >= 1; due-- {
			if err := l.ask(l.fds[next]); err != nil {
				return err
			}
			next = (next + 1) % len(l.fds)
		}
		events, err := l.poll.wait(0)
		if err != nil {
			return err
		}
		for _, e := range events {
			if _, err := l.take(int(e.Fd)); err != nil {
				return err
			}
		}
		_ = unix.Nanosleep(&nap, nil) // a signal may end it early
	}
	return nil
}
