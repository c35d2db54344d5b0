package control

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/events"
)

// What a service does whose ordinary backends, which are those that are no backup, are too
// few. Empty: nothing, for they are not.
const (
	FallbackBackup = "backup" // backup backends get new flows
	FallbackPanic  = "panic"  // backends get new flows whether they are healthy or not
	FallbackDown   = "down"   // nobody does
)

// Candidate is a backend, as far as it matters for what its service falls back on.
type Candidate struct {
	State    string // see [BackendUp]
	Weight   uint16 // nominal; [Fall] sets it to 0 for those that get no new flows
	Backup   bool
	Way      bool // packets can go there
	Panicked bool // Fall says: it gets new flows though it is down
}

// Fall decides what a service falls back on, all whose backends these are, and who of them
// gets new flows. Who is not known yet counts as healthy for min-healthy, and as one in whose
// place no backup is needed; but it ends nothing that the service falls back on already (was),
// for it gets no flows itself. Who has no weight does not count: where fewer have one than
// min-healthy asks for, because an operator has drained the others, there is no panic and
// nothing is taken down as long as these are healthy. Backup backends join all the same.
func Fall(s *balancer.ServiceSpec, was string, all []Candidate) (fallback string) {
	var ordinary, up, unknown, backups int
	for i := range all {
		switch c := &all[i]; {
		case c.Weight == 0:
		case c.Backup && c.State == BackendUp:
			backups++
		case c.Backup:
		case c.State == BackendUp:
			ordinary++
			up++
		case c.State == BackendWarming:
			ordinary++
			unknown++
		default:
			ordinary++
		}
	}
	healthy := up
	if was == "" {
		healthy += unknown
	}
	alone := healthy == 0 // nobody ordinary can serve
	least := s.MinHealthy.Of(ordinary)
	if s.BelowMin != balancer.JoinBackup {
		least = min(least, ordinary)
	}
	below := healthy < least
	joins := alone || below && s.BelowMin == balancer.JoinBackup
	switch {
	case below && s.BelowMin == balancer.TakeDown:
		fallback = FallbackDown
	case joins && backups > 0: // rather than panic
		fallback = FallbackBackup
	case below && s.BelowMin == balancer.Panic:
		fallback = FallbackPanic
	}
	for i := range all {
		switch c := &all[i]; {
		case fallback == FallbackDown, c.Backup && !joins:
			c.Weight = 0
		case fallback == FallbackPanic && !c.Backup && c.State == BackendDown:
			c.Panicked = c.Weight > 0 && c.Way
		}
	}
	return fallback
}

// fall has weights and conditions say what g falls back on.
func (g *group) fall(conditions []condition) {
	all := g.candidates[:0]
	for j, k := range g.checks {
		all = append(all, Candidate{State: conditions[j].state, Weight: k.nominal, Backup: g.spec.Backends[j].Backup, Way: k.last.way.known})
	}
	g.candidates, g.fallback = all, Fall(g.spec, g.fallback, all)
	for j, k := range g.checks {
		if k.weight = all[j].Weight; all[j].Panicked {
			conditions[j].table, conditions[j].panicked = balancer.StateUp, true
		}
	}
}

// fallbacks are what is told of each, and as what.
var fallbacks = map[string]struct {
	kind events.Kind
	text string
}{
	FallbackBackup: {events.Backup, "backup backends take new flows: too few others can"},
	FallbackPanic:  {events.Panic, "panic: fewer backends are healthy than min-healthy asks for, and all take new flows, healthy or not"},
	FallbackDown:   {events.BelowMinHealthy, "the service is taken down: fewer backends are healthy than min-healthy asks for"},
}

// fallbackChange tells what a service falls back on, and of what it does not any more.
func fallbackChange(was, s *ServiceView) (list []events.Event) {
	before := ""
	if was != nil {
		before = was.Fallback
	}
	if before == s.Fallback {
		return nil
	}
	e := events.Event{Severity: events.Warning, Service: s.Spec.Name, Address: s.Spec.Key().String()}
	if f, ok := fallbacks[before]; ok {
		e.Kind, e.Over, e.Text = f.kind, true, "over: "+f.text
		list = append(list, e)
	}
	if f, ok := fallbacks[s.Fallback]; ok {
		e.Kind, e.Over, e.Text = f.kind, false, f.text
		list = append(list, e)
	}
	return list
}
