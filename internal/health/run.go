package health

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

// maxSpread bounds how long the first probe of a new target can wait.
const maxSpread = time.Second

// spread returns the window over which the first probes of n new targets are
// spread: a few start as good as at once, a thousand do not start together.
func spread(n int) time.Duration {
	return min(time.Duration(n)*time.Millisecond, maxSpread)
}

// jitter returns an interval within 10% of d, so that probes of many targets, or
// from many balancers, drift apart instead of arriving in waves.
func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}

// run is the life of one target: it ends with ctx, and at once for a target that
// is not to be probed.
func (p *Prober) run(ctx context.Context, t Target, window time.Duration) {
	if t.Spec.Type == balancer.HealthNone {
		if ctx.Err() == nil {
			p.report(Result{Ref: t.Ref, OK: true})
		}
		return
	}
	timer := time.NewTimer(rand.N(window + 1))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		// The interval is from start to start, however long the probe takes.
		timer.Reset(jitter(t.Spec.Interval))
		result := p.probe(ctx, t)
		if ctx.Err() != nil {
			return
		}
		if !result.OK {
			p.log.Debug("probe failed", zap.String("service", t.Ref.Service), zap.String("backend", t.Ref.Backend),
				zap.Stringer("address", t.Address), zap.Duration("took", result.Took), zap.Error(result.Err))
		}
		p.report(result)
	}
}
