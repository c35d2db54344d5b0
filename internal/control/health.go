package control

import (
	"cmp"
	"errors"
	"slices"
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
	switch {
	case !o.link.up || result.Start.Before(o.link.since):
		return false // it says nothing about anybody beyond the link
	case result.Err != nil && !o.link.back.IsZero() && result.Start.Sub(o.link.back) < reachGrace:
		return false // neighbours have to be found again first: till then only a good one is an answer
	case result.Local:
		return o.troubles.note(result.Err, now)
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

// answer takes the answer to a probe that began at start, and reports whether it has
// changed anybody's state.
//
// A backend that goes down while nobody of its service has answered well since it began
// to fail is under suspicion: that is more likely a fault on the way to all of them, and
// its flows had better stay. One that has been up all the time and answers well ends the
// suspicion, within an interval: this one is down by itself. One that comes back ends it
// only if this one goes on to fail for as long as it takes.
func (k *check) answer(start time.Time, ok bool) (changed bool) {
	g := k.group
	switch {
	case ok:
		k.failing = time.Time{}
		if k.last.state != BackendUnreachable && start.After(g.good) {
			g.good = start
		}
	case k.failing.IsZero():
		k.failing = start
	}
	changed = k.health.Observe(ok)
	switch {
	case ok && changed:
		k.risen = start
	case !ok && changed && !g.good.After(k.failing):
		k.health.Suspect()
		g.suspects = true
	}
	if ok && g.suspects && k.last.state != BackendUnreachable {
		changed = g.recheck(k, start) || changed
	}
	return changed
}

// recheck says what it means for the suspects that k has answered well at a time.
func (g *group) recheck(k *check, at time.Time) (changed bool) {
	g.suspects = false
	for _, other := range g.checks {
		switch {
		case !other.failing.Before(at):
		case k.health.State() == balancer.StateUp && k.risen.Before(other.failing):
			changed = other.health.Confirm() || changed
		default:
			other.health.Recheck()
		}
		g.suspects = g.suspects || other.health.State() == balancer.StateSuspect
	}
	return changed
}

// troubles are what keeps the balancer itself from probing, by cause.
type troubles map[string]*trouble

type trouble struct {
	text string // of the first failure
	last time.Time
}

// troubleEnds is how long no probe may fail for a reason of the balancer's own until it
// counts as over.
const troubleEnds = 10 * time.Second

// note takes a failure, and reports whether it is the first by its cause. A way that is
// missing is none: it is told with the backend, as unreachable.
func (t *troubles) note(err error, now time.Time) (first bool) {
	cause := err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		if errno == syscall.ENETUNREACH || errno == syscall.EHOSTUNREACH {
			return false
		}
		cause = errno.Error()
	}
	if known := (*t)[cause]; known != nil {
		known.last = now
		return false
	}
	if *t == nil {
		*t = troubles{}
	}
	(*t)[cause] = &trouble{err.Error(), now}
	return true
}

// wait ends those that are over, and returns when to look again; 0: never.
func (t troubles) wait(now time.Time) (wait time.Duration) {
	for cause, one := range t {
		left := troubleEnds - now.Sub(one.last)
		if left <= 0 {
			delete(t, cause)
		} else if wait == 0 || left < wait {
			wait = left
		}
	}
	return wait
}

// view returns them for a View.
func (t troubles) view() (list []Trouble) {
	for cause, one := range t {
		list = append(list, Trouble{cause, one.text})
	}
	slices.SortFunc(list, func(a, b Trouble) int { return cmp.Compare(a.Cause, b.Cause) })
	return list
}
