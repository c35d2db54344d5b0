package control

import (
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/health"
)

// answer is what came of a probe.
type answer struct {
	start time.Time // zero: there was none yet
	took  time.Duration
	err   error
	local bool
}

// Probe is a question to a backend, with the latest answer.
type Probe struct {
	Target health.Target
	Start  time.Time // of the latest; zero: there was none yet
	Took   time.Duration
	Err    error     // nil: it is well
	Local  bool      // Err is the balancer's own trouble
	Next   time.Time // zero: it is under way, or waits for its turn
}

// Probed is all that was asked of a backend.
type Probed struct {
	Probes     []Probe
	Suspicions uint64 // how often clients' connections have had it probed at once
}

// Probed returns what was asked of the backends of a service, in the Spec's order; nil if there
// is no such service.
func (r *Reconciler) Probed(service balancer.ServiceKey) []Probed {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.observed.groups {
		if g.spec.Key() != service {
			continue
		}
		list := make([]Probed, len(g.checks))
		for j, k := range g.checks {
			list[j].Suspicions = k.traffic.count
			if k.target.Type == balancer.HealthNone {
				continue
			}
			list[j].Probes = append(list[j].Probes, r.probe(k.target, &k.answers[asWell]))
			if k.said.twofold {
				list[j].Probes = append(list[j].Probes, r.probe(k.holder, &k.answers[asHeld]))
			}
		}
		return list
	}
	return nil
}

func (r *Reconciler) probe(t health.Target, a *answer) Probe {
	return Probe{Target: t, Start: a.start, Took: a.took, Err: a.err, Local: a.local, Next: r.prober.Next(t)}
}
