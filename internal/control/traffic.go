package control

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/health"
)

// Where replies pass through the balancer, clients' connections tell of a dead backend before
// its next probe does: it refuses them, or leaves their SYNs unanswered. That makes a suspicion,
// by which it is probed at once, and again as long as it fails, until the probes have decided
// as they always do. A suspicion alone takes nobody out.
//
// A stranger can make one: he knocks at ports of a service where nobody listens, or from a
// source whose answers go another way. So one costs no more than fall probes, and the next one
// of the same backend waits, for twice as long each time: that is for those that flap, too.
// A RST counts only with the SYN's own number, and silence only when the client's kernel
// has knocked again (conntrack's state.go).

const (
	trafficEvery = 250 * time.Millisecond
	// inRow is how many must have been refused, or left waiting, since one was accepted.
	inRow = 3
	// suspectPace is the interval of probes while a suspicion is confirmed.
	suspectPace = 100 * time.Millisecond
	// A suspicion has the next one wait, for twice as long if it comes soon after.
	firstWait, longestWait = time.Second, time.Minute
)

// suspicion is what clients' connections say of a backend.
type suspicion struct {
	refused, ignored int64 // as they were counted when it was suspected last, or fewer
	known            bool  // these are of this backend
	at               time.Time
	wait             time.Duration
	why              string // of the one that no good answer has ended yet
	count            uint64
}

// look takes the counts, and reports whether they make a suspicion.
func (s *suspicion) look(refused, ignored int64, now time.Time) bool {
	if !s.known { // or they may be of another backend that had the ID
		s.known, s.refused, s.ignored = true, refused, ignored
	}
	s.refused, s.ignored = min(s.refused, refused), min(s.ignored, ignored)
	switch {
	case now.Sub(s.at) < s.wait:
		return false
	case refused > s.refused && refused >= inRow:
		s.why = fmt.Sprintf("it refused %d connections in a row", refused)
	case ignored > s.ignored && ignored >= inRow:
		s.why = fmt.Sprintf("%d SYNs in a row had no answer", ignored)
	default:
		return false
	}
	if s.wait = min(2*s.wait, longestWait); s.wait == 0 || now.Sub(s.at) > 2*longestWait {
		s.wait = firstWait
	}
	s.refused, s.ignored, s.at = refused, ignored, now
	s.count++
	return true
}

// watchTraffic has those backends probed at once that clients' connections speak against.
func (r *Reconciler) watchTraffic(now time.Time) {
	if !r.loads.Troubled() {
		r.calm = now
		return
	}
	t, spec := r.inForce.table, r.inForce.spec
	if !r.probing || t == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.observed.link.up || len(r.observed.groups) != len(t.Services) {
		return
	}
	for i, g := range r.observed.groups {
		s := g.spec
		if s != &spec.Services[i] || !s.Mode.Traits().RepliesReturn || s.Protocol != balancer.TCP || s.Health.Type == balancer.HealthNone {
			continue
		}
		for j, k := range g.checks {
			id := t.Services[i].Backends[j]
			k.traffic.known = k.traffic.known || r.calm.After(k.began) // all counts were 0 then
			if k.health.State() == balancer.StateUp && k.traffic.look(r.loads.Refused(id), r.loads.Ignored(id), now) {
				r.log.Debug("suspected by its traffic, and probed now", zap.String("service", s.Name), zap.String("backend", s.Backends[j].Name),
					zap.String("why", k.traffic.why))
				r.prober.Hasten(k.target, 0)
			}
		}
	}
}

// pace returns how soon after one answer the next one of the target is wanted: at its fast
// interval while somebody's state is in doubt by it, sooner while a suspicion is confirmed.
func (r *Reconciler) pace(result health.Result) (pace time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &result.Target
	for _, k := range r.observed.askers[*t] {
		if !k.health.Doubtful() {
			continue
		}
		soon := t.Fast
		if k.traffic.why != "" && k.health.State() == balancer.StateUp {
			soon = min(soon, suspectPace)
		}
		if pace == 0 || soon < pace {
			pace = soon
		}
		if k.said.twofold && t.Fast < t.Interval { // it takes both to decide
			for _, other := range []health.Target{k.target, k.holder} {
				if other != *t {
					r.prober.Hasten(other, t.Fast)
				}
			}
		}
	}
	return pace
}
