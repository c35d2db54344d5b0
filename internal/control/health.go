package control

import (
	"errors"
	"syscall"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/health"
)

// observe takes the answer to one probe, on behalf of all backends that want to know.
func (r *Reconciler) observe(result health.Result) {
	if r.note(result) {
		r.Notify()
	}
}

// note reports whether the answer has changed anything.
func (r *Reconciler) note(result health.Result) (changed bool) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &r.observed
	if r.ours(result) {
		return o.trouble.note(result.Err.Error(), now)
	}
	if !o.link.up || result.Start.Before(o.link.since) {
		return false // it says nothing about anybody beyond the link
	}
	text := wellChecked
	if result.Err != nil {
		text = result.Err.Error()
	}
	for _, k := range o.askers[result.Target] {
		if result.Start.Before(k.asked) {
			continue
		}
		changed = changed || k.text != text
		k.text = text
		changed = k.answer(result.Start, result.Err == nil) || changed
	}
	return changed
}

// ours reports whether it was the balancer itself that kept a probe from an answer.
// The kernel says "no route to host" for a neighbour that does not answer too; where
// it says so without a route, it is no verdict.
func (r *Reconciler) ours(result health.Result) bool {
	if result.Local {
		return true
	}
	hop, known := r.observed.snapshot.Hops[result.Target.Address.Addr()]
	return errors.Is(result.Err, syscall.EHOSTUNREACH) && known && !hop.Via.IsValid()
}

// answer takes the answer to a probe that began at start, and reports whether it has
// changed the state.
//
// A backend that goes down while nobody of its service has answered well since it began
// to fail is a suspect: that is more likely a fault on the way to all of them, and its
// flows had better stay until it is known by itself again. That is so when another one
// has answered well, and this one still fails.
func (k *check) answer(start time.Time, ok bool) (changed bool) {
	g := k.group
	switch {
	case ok:
		k.failing = time.Time{}
		if start.After(g.good) {
			g.good = start
		}
	case k.failing.IsZero():
		k.failing = start
	}
	changed = k.health.Observe(ok)
	switch {
	case ok && g.suspects:
		g.recheck(start)
	case changed && !ok && !g.good.After(k.failing):
		k.health.Suspect()
		g.suspects = true
	}
	return changed
}

// recheck says that somebody answers well since start.
func (g *group) recheck(start time.Time) {
	g.suspects = false
	for _, k := range g.checks {
		if k.failing.Before(start) {
			k.health.Recheck()
		}
		g.suspects = g.suspects || k.health.State() == balancer.StateSuspect
	}
}

// trouble is what keeps the balancer itself from probing.
type trouble struct {
	text string // empty: nothing
	last time.Time
}

// troubleEnds is how long no probe may fail for the balancer's own reasons until its
// trouble counts as over.
const troubleEnds = 10 * time.Second

// note takes a failure, and reports whether it is the first.
func (t *trouble) note(text string, now time.Time) bool {
	first := t.text == ""
	if first {
		t.text = text
	}
	t.last = now
	return first
}

func (t *trouble) error() error {
	if t.text == "" {
		return nil
	}
	return errors.New(t.text)
}

// wait ends a trouble that is over, and otherwise returns when to look again.
func (t *trouble) wait(now time.Time) time.Duration {
	if t.text == "" {
		return 0
	}
	if quiet := now.Sub(t.last); quiet < troubleEnds {
		return troubleEnds - quiet
	}
	*t = trouble{}
	return 0
}
