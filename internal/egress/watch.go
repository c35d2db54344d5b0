package egress

import (
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	// tickInterval is how often everything is looked at, and the kernel is asked again
	// for what is missing.
	tickInterval = time.Second
	// refreshInterval is how often it is reminded of what is in use: else a neighbour
	// that only AF_XDP talks to becomes stale and is collected.
	refreshInterval = 20 * time.Second
	// settleTime collects a burst of changes into one look.
	settleTime = 5 * time.Millisecond
	// againTime is how long after a look because of an event there is another. The kernel
	// announces a route of IPv6 before a look-up finds it (inet6_rt_notify comes before
	// RTN_RTINFO is set in fib6_add_rt2node, net/ipv6/ip6_fib.c): up to 13 ms before,
	// with many listeners.
	againTime = 50 * time.Millisecond

	// warnInterval is how often the log has what somebody on the link can bring about.
	warnInterval = 10 * time.Second

	// Looks, however many events there are, take a 60th of a core at most, and those of
	// the ticks a 100th. But a look that takes long is not put off by more than maxRest:
	// the last of many changes is seen within half a second. Nor are ticks rarer than
	// refreshInterval.
	restFactor, tickFactor = 60, 100
	maxRest                = 350 * time.Millisecond
)

// watch looks at what events concern soon after them, and at everything each tick.
func (w *Watcher) watch() {
	defer close(w.ended)
	defer func() {
		if w.gathering {
			<-w.gathered
		}
	}()
	tick, ask, next := time.NewTimer(tickInterval), time.NewTimer(tickInterval), time.NewTimer(retryTime)
	defer tick.Stop()
	defer ask.Stop()
	defer next.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-w.want:
			w.fresh.all = true
			w.arm(next, 0)
		case batch := <-w.batches:
			armed := !w.fresh.empty()
			for i := range batch {
				w.index.mark(&w.fresh, &batch[i])
				w.rerouted = w.rerouted || batch[i].subject == aboutRoute || batch[i].subject == aboutAll
			}
			if !armed && !w.fresh.empty() {
				w.arm(next, settleTime)
			}
		case now := <-ask.C:
			ask.Reset(max(tickInterval, tickFactor*w.remind(now)))
		case g := <-w.gathered:
			w.gathering = false
			if w.adopt(g) {
				w.fresh.neighbours = true
				w.arm(next, 0)
			}
		case <-next.C:
			w.follow(next)
		case <-tick.C:
			tick.Reset(min(max(tickInterval, tickFactor*w.tick()), refreshInterval))
			if w.troubled {
				w.arm(next, retryTime)
			}
		}
	}
}

// follow looks at what is due, and has the timer tell when to come again.
func (w *Watcher) follow(next *time.Timer) {
	fresh := w.fresh
	s, event := fresh.and(w.again), !fresh.empty()
	w.fresh, w.again = scope{}, fresh
	w.look(s, askNew)
	switch {
	case w.troubled:
		w.arm(next, retryTime)
	case event:
		w.arm(next, againTime)
	}
}

// tick looks at everything, and returns how long that took.
func (w *Watcher) tick() time.Duration {
	which, start := askMissing, time.Now()
	w.reroute(start)
	if start.Sub(w.refreshed) >= refreshInterval {
		which, w.refreshed = askAll, start
	}
	return w.look(scope{all: true}, which)
}

// arm has the timer come after some time, and not before a rest from the last look.
func (w *Watcher) arm(next *time.Timer, after time.Duration) {
	next.Reset(max(after, time.Until(w.rested)))
}

// look brings the snapshot up to date as far as the scope goes, tells if it is another,
// and returns how long that took. What an error may have kept back is to be looked at
// again.
func (w *Watcher) look(s scope, which asking) time.Duration {
	w.mu.Lock()
	wanted, former := w.wanted, w.former
	w.former = nil
	w.mu.Unlock()
	w.recall(former)
	start := time.Now()
	r, err := look(w.kernel, w.last, wanted, s, start)
	if !maps.Equal(r.tree.leads, w.last.tree.leads) {
		w.rerouted = true // a gateway may be behind another interface now
	}
	if len(r.left) > 0 && !slices.Equal(r.left, w.last.left) {
		w.log.Warn("there are more interfaces than can be served", zap.Strings("not served", r.left))
	}
	w.ask(r, which, start)
	r.choose()
	w.last, w.index = r, newIndex(r)
	took := time.Since(start)
	w.rested = start.Add(took + min(restFactor*took, maxRest))
	w.report(err)

	w.mu.Lock()
	differs := !r.Snapshot.equal(&w.current) || len(r.moves) > 0
	w.current = r.Snapshot
	left := w.note(r.moves)
	w.mu.Unlock()
	if left > 0 && start.Sub(w.warned) >= warnInterval {
		w.warned = start
		w.log.Warn("more neighbours move than can be followed; replies to some find their way when their clients talk", zap.Int("moves", left))
	}
	if differs {
		w.changed()
	}
	return took
}

// report tells of trouble when it begins and ends.
func (w *Watcher) report(err error) {
	switch {
	case err != nil && !w.troubled:
		w.log.Warn("the routes and neighbours can't be read; going on with what is known", zap.Error(err))
	case err == nil && w.troubled:
		w.log.Info("the routes and neighbours can be read again")
	}
	if w.troubled = err != nil; w.troubled {
		w.fresh.all = true
	}
}
