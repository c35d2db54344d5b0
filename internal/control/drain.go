package control

import (
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// drains notes since when the backend has no weight. A reload in between, or another time
// to drain, begins nothing anew.
func (k *check) drains(now time.Time) {
	switch {
	case k.weight > 0:
		k.draining = time.Time{}
	case k.draining.IsZero():
		k.draining = now
	}
}

// drain adds k to the facts if its time to drain is over, or comes back when it will be.
func (a *assessment) drain(k *check, now time.Time) {
	if k.draining.IsZero() {
		return
	}
	if left := k.group.spec.DrainTime - now.Sub(k.draining); left > 0 {
		a.sooner(left)
		return
	}
	if a.facts.Drained == nil {
		a.facts.Drained = map[balancer.BackendKey]bool{}
	}
	a.facts.Drained[k.key] = true
}
