package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// probe asks once, for at most the target's timeout.
func (p *Prober) probe(parent context.Context, t Target) Result {
	start := time.Now()
	ctx, cancel := context.WithTimeout(parent, t.Timeout)
	defer cancel()
	conn, err := p.dial(ctx, "tcp", t.Address.String())
	if err == nil {
		release := bind(ctx, conn)
		defer release()
		var rest io.Reader
		rest, err = ask(conn, t)
		defer hangUp(ctx, conn, rest) // takes its time, after the verdict
	}
	return verdict(Result{Target: t, Start: start, Took: time.Since(start), Err: err})
}

// verdict completes a result that has an error: says whose fault it is, and puts a
// timeout in the user's words.
func verdict(r Result) Result {
	switch {
	case errors.Is(r.Err, os.ErrDeadlineExceeded) || errors.Is(r.Err, context.DeadlineExceeded):
		if busy(r.Took, r.Target.Timeout) {
			r.Local = true
			r.Err = fmt.Errorf("no answer within %v, but the balancer itself was too busy to look for one: %w", r.Target.Timeout, r.Err)
			return r
		}
		r.Local = local(r.Err)
		r.Err = fmt.Errorf("no answer within %v: %w", r.Target.Timeout, r.Err)
	case r.Err != nil:
		r.Local = local(r.Err)
	}
	return r
}

// ask returns nil if the target is well, and what the server is to be heard of
// before one may hang up; nil if it was not asked for anything.
func ask(conn net.Conn, t Target) (rest io.Reader, err error) {
	switch t.Type {
	case balancer.HealthTCP:
		return nil, nil
	case balancer.HealthHTTP:
		return askHTTP(conn, t)
	}
	return nil, fmt.Errorf("health type %v is not supported", t.Type)
}

// bind makes reads and writes of conn end with ctx, until release is called.
func bind(ctx context.Context, conn net.Conn) (release func() bool) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // can only fail on a closed connection, which the next read reports
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}

// linger bounds each of the two waits for a server that does not come to an end.
// The probe's timeout goes on, too.
const linger = 100 * time.Millisecond

// hangUp closes a connection in the ordinary way, by a FIN. A reset would spare the
// balancer a socket in TIME_WAIT, but many servers log one as an error of their
// client, every few seconds. The kernel sends one, too, for data that was not read
// when the socket is closed or that comes later (tcp_close and tcp_rcv_state_process
// in net/ipv4): the rest of a page, or the greeting of a server that speaks first.
//
// So hangUp first hears the answer to its end, since some servers take the FIN of a
// client that they still answer for a break, then sends the FIN and reads on until
// the server sends its own. A server that has no end is cut off after all.
func hangUp(ctx context.Context, conn net.Conn, rest io.Reader) {
	defer conn.Close()
	if rest != nil {
		hear(ctx, conn, rest)
	}
	if c, ok := conn.(*net.TCPConn); ok && c.CloseWrite() == nil {
		hear(ctx, conn, conn)
	}
}

// hear reads what comes over conn for a while, and forgets it.
func hear(ctx context.Context, conn net.Conn, r io.Reader) {
	until := time.Now().Add(linger)
	if end, ok := ctx.Deadline(); ok && end.Before(until) {
		until = end
	}
	if conn.SetReadDeadline(until) == nil && ctx.Err() == nil {
		_, _ = io.CopyN(io.Discard, r, maxAnswer)
	}
}
