package health

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"
)

// maxSpread bounds how long the first probe of a new target can wait, and maxKick
// one that is to come at once.
const (
	maxSpread = time.Second
	maxKick   = 100 * time.Millisecond
)

// spread returns the window over which n probes are spread that would all start now:
// a few start as good as at once, a thousand do not start together.
func spread(n int, limit time.Duration) time.Duration {
	return min(time.Duration(n)*time.Millisecond, limit)
}

// within returns a moment of a window.
func within(window time.Duration) time.Duration { return rand.N(window + 1) }

// jitter returns up to 10% less than d, so that probes of many targets, or from many
// balancers, drift apart instead of arriving in waves. It is never more: whoever set
// the interval may count on a death being known after fall × interval + timeout.
func jitter(d time.Duration) time.Duration { return d - within(d/10) }

// place says where a target is.
type place uint8

const (
	sleeping place = iota // until its timer fires
	queued                // in Prober.queue
	inFlight              // in a goroutine that probes or reports
)

// probing is one target under probe. Its fields are guarded by Prober.mu.
type probing struct {
	target  Target // constant
	place   place
	timer   *time.Timer // fires at due, if sleeping
	due     time.Time   // when the next probe may start
	removed bool        // from the set; it ends as soon as it can

	// Of the probe that is in flight.

	stop  context.CancelFunc
	void  bool // its result is not to be reported
	again bool // one more is wanted right after it
}

// start makes t's first probe due after d. The lock is held, as for all below.
func (p *Prober) start(t *probing, d time.Duration) {
	t.due = time.Now().Add(d)
	t.timer = time.AfterFunc(d, func() { p.await(t) })
}

// hasten makes t's next probe due at the given time, if it was to come later.
func (t *probing) hasten(at time.Time) {
	switch {
	case t.removed:
	case t.place == inFlight:
		t.again = true
	case t.place == sleeping && at.Before(t.due):
		t.due = at
		t.timer.Reset(time.Until(at))
	}
}

// remove takes t from the set, and reports whether that was all. If not, it is not
// over before its turn has come, or its probe has ended.
func (t *probing) remove() (ended bool) {
	t.removed = true
	switch t.place {
	case sleeping:
		t.timer.Stop()
		return true
	case inFlight:
		t.void = true
		t.stop()
	}
	return false
}

// restore undoes remove if it was not all: the probe that was stopped is made anew.
func (t *probing) restore() {
	if t.removed && t.place == inFlight {
		t.again = true
	}
	t.removed = false
}

// await has t wait for its turn. The lock is not held: its timer calls this.
func (p *Prober) await(t *probing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.removed {
		return // just when the timer fired
	}
	t.place = queued
	p.queue = append(p.queue, t)
	p.admit()
}

// admit starts the probes whose turn it is. For those that have none, servers that are
// taking their time have to come to an end.
func (p *Prober) admit() {
	for p.free > 0 && len(p.queue) > 0 {
		t := p.queue[0]
		p.queue[0], p.queue = nil, p.queue[1:]
		if t.removed {
			p.forget(t)
			continue
		}
		p.free--
		ctx, stop := context.WithCancel(context.Background())
		t.place, t.stop, t.void, t.again = inFlight, stop, false, false
		p.running.Go(func() { p.run(ctx, t) })
	}
	for _, c := range p.calls[:min(len(p.calls), len(p.queue))] {
		c.hasten(0)
	}
}

// part hangs a call up, which may take time; its place is free when that is done.
func (p *Prober) part(c *call) {
	p.calls = append(p.calls, c)
	if p.closed {
		c.hasten(linger)
	}
	p.running.Go(func() {
		c.hangUp()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.calls = slices.DeleteFunc(p.calls, func(o *call) bool { return o == c })
		p.free++
		p.admit()
	})
	p.admit()
}

// run makes one probe and sees to the next. The lock is not held.
func (p *Prober) run(ctx context.Context, t *probing) {
	result, c := p.probe(ctx, t.target)
	p.mu.Lock()
	t.stop()
	if c != nil {
		p.part(c)
	} else {
		p.free++
		p.admit()
	}
	void := t.void
	p.mu.Unlock()
	interval := t.target.Interval
	if !void {
		if result.Err != nil {
			p.log.Debug("probe failed", zap.Stringer("address", t.target.Address), zap.Stringer("type", t.target.Type),
				zap.Duration("took", result.Took), zap.Bool("local", result.Local), zap.Error(result.Err))
		}
		p.report(result)
		interval = cmp.Or(p.pace(result), interval)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.removed {
		p.forget(t)
		return
	}
	t.place = sleeping
	// The interval is from start to start, however long the probe takes.
	t.due = result.Start.Add(jitter(interval))
	if t.again {
		t.due = time.Now()
	}
	t.timer.Reset(time.Until(t.due))
}

// forget ends a removed target. Once Prober.closed is set nobody looks any more.
func (p *Prober) forget(t *probing) { delete(p.targets, t.target) }
