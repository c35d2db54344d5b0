package control

import (
	"net/netip"
	"slices"
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
	Type    balancer.HealthType
	Address netip.AddrPort // as of [health.Target], and Source too
	Source  netip.Addr
	Start   time.Time // of the latest; zero: there was none yet
	Took    time.Duration
	Err     error     // nil: it is well
	Local   bool      // Err is the balancer's own trouble
	Next    time.Time // zero: it is under way, or waits for its turn
}

// Probed is all that was asked of a backend.
type Probed struct {
	Probes     []Probe
	Suspicions uint64 // how often clients' connections have had it probed at once
}

// Probed returns what was asked of the backends of a service, in the Spec's order; nil if there
// is no such service. It is likely to be at index i: who asks for all does so in order.
func (r *Reconciler) Probed(i int, service balancer.ServiceKey) []Probed {
	r.mu.Lock()
	defer r.mu.Unlock()
	groups := r.observed.groups
	is := func(g *group) bool { return g.spec.Key() == service }
	if i >= len(groups) || !is(groups[i]) { // of a View from before a reload
		i = slices.IndexFunc(groups, is)
	}
	if i < 0 {
		return nil
	}
	list := make([]Probed, len(groups[i].checks))
	probes := make([]Probe, 0, len(list)) // in one piece
	for j, k := range groups[i].checks {
		list[j].Suspicions = k.traffic.count
		if k.target.Type == balancer.HealthNone || k.disabled() {
			continue
		}
		first := len(probes)
		probes = append(probes, r.probe(&k.target, &k.answers[asWell]))
		if k.said.twofold {
			probes = append(probes, r.probe(&k.holder, &k.answers[asHeld]))
		}
		list[j].Probes = probes[first:len(probes):len(probes)]
	}
	return list
}

func (r *Reconciler) probe(t *health.Target, a *answer) Probe {
	return Probe{
		Type: t.Type, Address: t.Address, Source: t.Source,
		Start: a.start, Took: a.took, Err: a.err, Local: a.local, Next: r.prober.Next(*t),
	}
}
