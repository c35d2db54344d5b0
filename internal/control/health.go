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
		changed = o.troubles.note(result.Err, now)
	}
	for _, k := range o.askers[result.Target] {
		if !result.Start.Before(k.asked) && !o.deaf(k, &result) {
			changed = k.hear(&result) || changed
		}
	}
	return changed
}

// hear takes the answer to a probe of one backend, and reports whether it has changed
// anything.
func (k *check) hear(result *health.Result) (changed bool) {
	q, text, good := asWell, wellChecked, result.Err == nil
	if result.Target == k.holder {
		q = asHeld
	}
	if !good {
		text = result.Err.Error()
	}
	was, counts := k.text, false
	k.answers[q] = answer{result.Start, result.Took, result.Err, result.Local}
	switch {
	case q == asHeld && k.moot(result):
		good, counts = true, k.said.excuse(text)
	case result.Local:
		return false
	default:
		counts = k.said.take(q, text, good)
		k.group.held = k.group.held || q == asHeld && good && k.holder.Closed
	}
	k.text = k.said.outcome()
	if good {
		k.traffic.why = ""
	} else if k.traffic.why != "" {
		k.text += ", asked at once because " + k.traffic.why
	}
	if counts {
		changed = k.answer(result.Start, good)
	}
	return changed || k.text != was
}

// moot reports whether an answer says nothing of whether the backend holds the service's
// address. That is so if the balancer can't ask, but for want of a way, which holds up
// everything else too; and if a port that no client needs is silent, as it may be closed
// by a packet filter, unless another backend of the service did answer there.
func (k *check) moot(result *health.Result) bool {
	if result.Local {
		return !noWay(result.Err)
	}
	return result.Err != nil && k.holder.Closed && !k.group.held
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
	if noWay(err) {
		return false
	}
	cause := err.Error()
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
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

// noWay reports whether an error says that there is no way to a backend.
func noWay(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EHOSTUNREACH)
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
