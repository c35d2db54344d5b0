package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
)

// A check without a connection is a datagram, and what comes for it: an answer, the network's
// word that nobody is there, or silence. The socket is connected, so the kernel lets nothing
// through that is not from the address and port that were asked.

const (
	// maxDatagram is how much of an answer is read, bytes.
	maxDatagram = 8 << 10
	// maxStray bounds how many datagrams are taken that are no answer.
	maxStray = 64
)

// dialogue is what is said, and how answers are told from other things.
type dialogue struct {
	request []byte
	again   time.Duration // when it is said again; 0: never
	// filter, if there is one, keeps strays out of the socket, of which anybody could send many.
	filter []unix.SockFilter
	// judge holds what came against what is expected. A stray one is no answer to this
	// request, and others are waited for.
	judge func(answer []byte) (stray bool, err error)
}

// exchange asks by a datagram, and waits for the answer until ctx ends.
func (p *Prober) exchange(ctx context.Context, t *Target) error {
	d, err := dialogueOf(t)
	if err != nil {
		return unsent{err}
	}
	conn, err := p.dial(ctx, t)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := d.keepStraysOut(conn); err != nil {
		return unsent{err}
	}
	release := bind(ctx, conn)
	defer release()
	start := time.Now()
	err = d.with(ctx, conn)
	if t.Type == balancer.HealthUDP && t.Receive == "" && errors.Is(err, os.ErrDeadlineExceeded) && !busy(time.Since(start), t.Timeout) {
		return nil // nobody has said that there is nobody
	}
	return err
}

// dialogueOf returns what is to be said to a target.
func dialogueOf(t *Target) (*dialogue, error) {
	switch t.Type {
	case balancer.HealthUDP:
		return &dialogue{request: []byte(t.Send), judge: t.judgeDatagram}, nil
	case balancer.HealthDNS:
		return newQuestion(t)
	case balancer.HealthICMP:
		return newEcho(t), nil
	}
	return nil, fmt.Errorf("health type %v has no datagrams", t.Type)
}

// keepStraysOut has the kernel drop what the filter does not let through.
func (d *dialogue) keepStraysOut(conn net.Conn) error {
	c, ok := conn.(syscall.Conn)
	if len(d.filter) == 0 || !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(d.filter)), Filter: &d.filter[0]}
	if e := raw.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program))
	}); e != nil {
		return e
	}
	return err
}

// with has the dialogue by a connected socket.
func (d *dialogue) with(ctx context.Context, conn net.Conn) error {
	end, _ := ctx.Deadline()
	b := make([]byte, maxDatagram)
	for strays, sent := 0, false; ; {
		if _, err := conn.Write(d.request); err == nil {
			sent = true
		} else if !sent && !errors.Is(err, os.ErrDeadlineExceeded) {
			return unsent{fmt.Errorf("send: %w", withoutSource(err))}
		}
		wait := end
		if next := time.Now().Add(d.again); d.again > 0 && next.Before(end) {
			wait = next
		}
		if err := conn.SetReadDeadline(wait); err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		for {
			n, err := conn.Read(b)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			} else if err != nil {
				return withoutSource(err)
			}
			stray, err := d.judge(b[:n])
			if !stray {
				return err
			}
			if strays++; strays > maxStray {
				return errors.New("what comes is no answer to what was asked")
			}
		}
		if !time.Now().Before(end) || ctx.Err() != nil {
			return os.ErrDeadlineExceeded
		}
	}
}

// judgeDatagram takes the first datagram for the answer.
func (t *Target) judgeDatagram(answer []byte) (stray bool, err error) {
	if !strings.Contains(string(answer), t.Receive) {
		return false, fmt.Errorf("answer without %q", t.Receive)
	}
	return false, nil
}
