package control

import (
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// A server that has just started has empty caches and no connections. With slow-start its
// share of new flows grows in steps, from the first one on; how shares become picks is the
// table's part. While all that are there are on their way up, they share by how far they are.

// attendance is whether a backend is there, as far as is known: whether it is up and has a
// nominal weight. That it is not needed, or that the others panic, changes nothing of it.
type attendance uint8

const (
	never  attendance = iota // not yet, since the balancer or the service has started
	absent                   // not, and that was known; or it is new in its service
	present
)

// attend notes whether the backend is there. At the start nobody is back.
func (k *check) attend(c *condition, now time.Time) {
	switch {
	case c.state == BackendUp:
		if k.attendance == absent {
			k.back = now
		}
		k.attendance = present
	case k.attendance == present || c.state != BackendWarming:
		k.attendance, k.back = absent, time.Time{}
	}
}

// rampTick is what all ramps' steps are at multiples of: so tables are made for all
// backends that are on their way up together, four a second at most.
const rampTick = 250 * time.Millisecond

// climb sets how many steps of its ramp the backend has, and returns when it has the next
// one; 0: it has all. In panic all are needed now.
func (k *check) climb(last stepped, now time.Time) (wait time.Duration) {
	had := k.ramp
	k.ramp = balancer.RampSteps
	d, risen := k.group.spec.SlowStart, now.Sub(k.back)
	if d <= 0 || k.back.IsZero() || k.weight == 0 || k.group.fallback == FallbackPanic {
		return 0
	}
	if rest := last.rest(d, now); rest > 0 && had > 0 && had < balancer.RampSteps {
		k.ramp = had
		return rest
	}
	if risen >= d+stepOf(d) {
		return 0
	}
	step := stepOf(d)
	risen += time.Duration(k.back.UnixNano() % int64(step)) // since the multiple of it before
	k.ramp = uint8(max(1, min(balancer.RampSteps, balancer.RampSteps*risen.Truncate(step)/(d+step).Truncate(step))))
	return step - risen%step
}

// stepped is the last step that ramps have made, all together: the table with it. Where thousands
// of services have a consistent hash each of its own, that takes seconds.
type stepped struct {
	at   time.Time // when it was in force
	took time.Duration
}

// rest returns how long the next step of a ramp of d has to wait yet. What takes long is done
// less often, as [restFactor] has it, but a ramp has as many steps as fewSteps, and some more.
func (s stepped) rest(d time.Duration, now time.Time) time.Duration {
	const fewSteps = 4
	return min(restFactor*s.took, d/fewSteps) - now.Sub(s.at)
}

// stepOf returns how long a step of a ramp of d lasts.
func stepOf(d time.Duration) time.Duration {
	return max(rampTick, (d/balancer.RampSteps + rampTick - 1).Truncate(rampTick))
}
