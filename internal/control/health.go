package control

import (
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/health"
)

// check is what is known of one backend's health.
type check struct {
	target health.Target
	health balancer.Health
	since  time.Time // of the state
	start  time.Time // of the probes
	last   error     // of the latest answer; nil: good
	probed bool
}

// newChecks returns checks for spec's backends. One that is probed as before keeps
// its check. The lock is held, or nobody has the controller yet.
func (c *Controller) newChecks(spec *balancer.Spec) map[balancer.BackendRef]*check {
	checks, now := map[balancer.BackendRef]*check{}, time.Now()
	for i := range spec.Services {
		s := &spec.Services[i]
		for j := range s.Backends {
			b := &s.Backends[j]
			ref := balancer.BackendRef{Service: s.Name, Backend: b.Name}
			target := health.Target{Ref: ref, Address: s.Probe(b), Spec: s.Health}
			if old := c.checks[ref]; old != nil && old.target.Equal(target) {
				checks[ref] = old
			} else {
				checks[ref] = &check{target: target, health: balancer.NewHealth(&s.Health), since: now, start: now}
			}
		}
	}
	return checks
}

// probe makes the prober's targets follow the checks.
func (c *Controller) probe() {
	c.probing.Lock()
	defer c.probing.Unlock()
	c.mu.Lock()
	targets := make([]health.Target, 0, len(c.checks))
	for _, k := range c.checks {
		targets = append(targets, k.target)
	}
	c.mu.Unlock()
	c.prober.Set(targets) // outside of the lock: it may report at once
}

// observe takes the answer to one probe.
func (c *Controller) observe(r health.Result) {
	began := time.Now().Add(-r.Took) // a reload may hold the lock for long
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.checks[r.Ref]
	if k == nil || began.Before(k.start) {
		return // the backend was removed meanwhile, or another one has its name
	}
	k.last, k.probed = r.Err, true
	if !k.health.Observe(r.OK) {
		return
	}
	k.since = time.Now()
	c.log.Info("backend is "+k.health.State().String(),
		zap.String("service", r.Ref.Service), zap.String("backend", r.Ref.Backend),
		zap.Stringer("address", k.target.Address), zap.NamedError("check", r.Err))
	c.poke()
}

// states returns the health of a service's backends in order of the spec, with
// unknown ones up where they are trusted. wait tells after how long time alone
// will change the result. The lock is held.
func (c *Controller) states(s *balancer.ServiceSpec, now time.Time) (states []balancer.State, wait time.Duration) {
	states = make([]balancer.State, len(s.Backends))
	start := now
	for i := range s.Backends {
		if k := c.checks[balancer.BackendRef{Service: s.Name, Backend: s.Backends[i].Name}]; k != nil {
			states[i] = k.health.State()
			if k.start.Before(start) {
				start = k.start
			}
		}
	}
	trusted, wait := balancer.Trusted(states, start, now)
	for i := range states {
		if trusted && states[i] == balancer.StateUnknown {
			states[i] = balancer.StateUp
		}
	}
	return states, wait
}
