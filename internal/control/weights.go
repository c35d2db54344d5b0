package control

import (
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// weigh writes the effective weight of each backend of g, whose conditions these are, and
// returns after what time alone that changes; 0: never. It is the one place where weights
// are decided, each step from what the one before has left:
//
//	nominal   the file's weight, or what an operator has put in its place (overrides.go)
//	fallback  0 for backup backends that are not needed, and for all of a service that is
//	          taken down; in panic those that are down have theirs too (fallback.go)
//	ramp      a part of it, for one that is back (ramp.go)
func (g *group) weigh(conditions []condition, last stepped, now time.Time) (wait time.Duration) {
	for j, k := range g.checks {
		k.attend(&conditions[j], now)
	}
	g.fall(conditions)
	for j, k := range g.checks {
		again := k.climb(last, now)
		if wait == 0 || again > 0 && again < wait {
			wait = again
		}
		k.drains(now)
		c := &conditions[j]
		c.back, c.share = k.back, 0
		if k.weight > 0 && (c.state == BackendUp || c.panicked) {
			c.share = int(k.ramp) * 100 / balancer.RampSteps
		}
	}
	return wait
}
