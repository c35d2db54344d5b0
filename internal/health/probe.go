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

// probe asks once, for at most the target's timeout. The call, if there is one, is the
// caller's to hang up.
func (p *Prober) probe(parent context.Context, t Target) (Result, *call) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(parent, t.Timeout)
	defer cancel()
	var c *call
	var err error
	switch {
	case t.Holder.IsValid() && t.Type == balancer.HealthTCP:
		err = p.open(ctx, t)
	case t.Holder.IsValid():
		c, err = p.ask(ctx, &t, p.inside)
	case t.Type.OpensTCP():
		c, err = p.ask(ctx, &t, p.dial)
	default:
		err = p.exchange(ctx, &t)
	}
	return verdict(Result{Target: t, Start: start, Took: time.Since(start), Err: err}), c
}

// ask asks by a connection that is opened in full, by dial.
func (p *Prober) ask(ctx context.Context, t *Target, dial func(context.Context, *Target) (net.Conn, error)) (*call, error) {
	conn, err := dial(ctx, t)
	if err != nil {
		return nil, err
	}
	release := bind(ctx, conn)
	defer release()
	var rest io.Reader
	if t.Type == balancer.HealthHTTPS {
		inside, err := p.secure(conn, t)
		if err != nil {
			return newCall(conn, nil), err
		}
		conn = inside
	}
	if t.Type != balancer.HealthTCP {
		rest, err = askHTTP(conn, *t)
	}
	return newCall(conn, rest), err
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

// bind makes reads and writes of conn end with ctx, until release is called.
func bind(ctx context.Context, conn net.Conn) (release func()) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // can only fail on a closed connection, which the next read reports
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-ended // or it would cut the hanging up short
		}
	}
}
