package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// probe asks once, for at most the target's timeout.
func (p *Prober) probe(parent context.Context, t Target) Result {
	start := time.Now()
	ctx, cancel := context.WithTimeout(parent, t.Spec.Timeout)
	defer cancel()
	err := p.ask(ctx, t)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %v: %w", t.Spec.Timeout, err)
	}
	return Result{Ref: t.Ref, OK: err == nil, Err: err, Took: time.Since(start)}
}

// ask returns nil if the target is well.
//
// The connection is closed in the ordinary way, by a FIN. A reset would spare
// the balancer a socket in TIME_WAIT, but many servers log one as an error of
// their client, every few seconds.
func (p *Prober) ask(ctx context.Context, t Target) error {
	conn, err := p.dial(ctx, "tcp", t.Address.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	switch t.Spec.Type {
	case balancer.HealthTCP:
		return nil
	case balancer.HealthHTTP:
		release := bind(ctx, conn)
		defer release()
		return askHTTP(conn, t)
	}
	return fmt.Errorf("health type %v is not supported", t.Spec.Type)
}

// bind makes reads and writes of conn end with ctx, until release is called.
func bind(ctx context.Context, conn net.Conn) (release func() bool) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // can only fail on a closed connection, which the next read reports
	}
	return context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
}
