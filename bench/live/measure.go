package live

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/wire"
)

// outcome is what a contender did in some time, per second of it.
type outcome struct {
	offered, received, done float64
	cpu                     float64 // seconds, by the contender and by receiving for it
	receiving               float64 // seconds of these by receiving
	foreign                 float64 // came back and was not for the generator's MAC address
}

// perCPU returns packets per CPU second.
func (o outcome) perCPU() float64 { return o.done / o.cpu }

// lost returns the share of packets that were offered, and lost.
func (o outcome) lost() float64 { return max(0, 1-o.done/o.offered) }

// reading is all counters at one time.
type reading struct {
	at     time.Time
	counts wire.Counts
	done   uint64
	cpu    time.Duration

	receiving time.Duration // of cpu
}

func (s *stand) read(ctx context.Context) (r reading, err error) {
	r.at = time.Now()
	if r.counts, err = s.wire.Counts(); err != nil {
		return r, err
	}
	if r.done, err = s.done(ctx, r.counts); err != nil {
		return r, err
	}
	own, err := s.running.CPU()
	if err != nil {
		return r, err
	}
	r.receiving, err = s.wire.Receiving()
	r.cpu = own + r.receiving
	return r, err
}

// settling is how long a load runs before it is measured: queues fill, caches warm up.
const settling = 100 * time.Millisecond

// measure measures under a load for some time.
func (s *stand) measure(ctx context.Context, l wire.Load, long time.Duration) (o outcome, err error) {
	before, err := s.read(ctx)
	if err != nil {
		return o, err
	}
	if err := s.wire.Start(l); err != nil {
		return o, err
	}
	defer func() { err = errors.Join(err, s.wire.Stop()) }()
	err = until(ctx, fmt.Sprintf("%s forwards packets", s.first.Contender), func() (bool, error) {
		r, err := s.read(ctx)
		return r.done > before.done, err
	})
	if err != nil {
		return o, err
	}
	if err := pass(ctx, settling); err != nil {
		return o, err
	}
	a, err := s.read(ctx)
	if err != nil {
		return o, err
	}
	if err := pass(ctx, long); err != nil {
		return o, err
	}
	b, err := s.read(ctx)
	if err != nil {
		return o, err
	}
	if b.done == a.done {
		return o, fmt.Errorf("%s has forwarded nothing in %v", s.first.Contender, long)
	}
	d, sec := b.counts.Since(a.counts), b.at.Sub(a.at).Seconds()
	return outcome{
		offered: float64(d.Sent) / sec, received: float64(d.Received) / sec, done: float64(b.done-a.done) / sec,
		cpu: (b.cpu - a.cpu).Seconds() / sec, receiving: (b.receiving - a.receiving).Seconds() / sec, foreign: float64(d.Strange) / sec,
	}, nil
}

// pass lets time pass.
func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// portion is how many flows are established at a time: half-open ones may fill only a
// quarter of afxlb's table, and make way for newer ones there.
const portion = 100_000

// establish shows a contender all flows of a case, at its own pace: first answered, then
// once more, so that both sides have acknowledged something.
func (s *stand) establish(ctx context.Context, c Case) error {
	if s.known[c] || c.Mode == swap {
		return nil
	}
	for first := 0; first < c.Flows; first += portion {
		for _, answer := range []bool{true, false} {
			l := wire.Load{
				Family: c.Family, First: first, Flows: min(portion, c.Flows-first),
				InTurn: true, Window: window, Answer: answer && c.Mode == nat,
			}
			if err := s.show(ctx, c, l); err != nil {
				return err
			}
		}
	}
	s.known[c] = true
	if c.Contender == receive {
		return s.forget(ctx)
	}
	return nil
}

// show sends a load until every flow has had its turn, and a few a second one.
func (s *stand) show(ctx context.Context, c Case, l wire.Load) error {
	before, err := s.wire.Counts()
	if err != nil {
		return err
	}
	if err := s.wire.Start(l); err != nil {
		return err
	}
	enough := uint64(l.Flows) + uint64(l.Flows)/20
	err = until(ctx, fmt.Sprintf("%s knows %d flows from number %d", c.Contender, l.Flows, l.First), func() (bool, error) {
		now, err := s.wire.Counts()
		n := now.Since(before)
		return max(n.Rewritten, n.Returned) >= enough, err
	})
	return errors.Join(err, s.wire.Stop())
}

// both measures a contender at its own pace, and flooded. Whoever reads the counters has
// to do so at once, beside processes that are favoured.
func (s *stand) both(ctx context.Context, c Case, long time.Duration) (own, flooded outcome, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20); err != nil {
		return own, flooded, fmt.Errorf("favour the measuring thread: %w", err)
	}
	defer func() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), 0) }()
	if err := s.resume(); err != nil {
		return own, flooded, err
	}
	defer func() { err = errors.Join(err, s.pause()) }()
	if err := s.establish(ctx, c); err != nil {
		return own, flooded, err
	}
	l := wire.Load{Family: c.Family, Flows: c.Flows, Window: window}
	if c.Contender != receive {
		if own, err = s.measure(ctx, l, long); err != nil {
			return own, flooded, err
		}
	}
	if !s.inKernel() {
		if err := s.wire.ReceiveOn(s.place.load, true); err != nil {
			return own, flooded, err
		}
		defer func() { err = errors.Join(err, s.wire.ReceiveOn(s.place.balancer, true)) }()
	}
	l.Window = 0
	flooded, err = s.measure(ctx, l, long)
	return own, flooded, err
}
