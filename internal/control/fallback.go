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

// census counts the ordinary backends that have a nominal weight.
type census struct {
	all, up, unknown int
	backups          int // backup backends that are up
}

func (g *group) census(conditions []condition) (n census) {
	for j, k := range g.checks {
		if k.nominal == 0 {
			continue
		}
		up := conditions[j].state == BackendUp
		switch {
		case g.spec.Backends[j].Backup && up:
			n.backups++
		case g.spec.Backends[j].Backup:
			continue
		default:
			n.all++
			if up {
				n.up++
			}
			if conditions[j].state == BackendWarming {
				n.unknown++
			}
		}
	}
	return n
}

// fall decides what g falls back on, and has weights and conditions say so. Who is not known
// yet counts as healthy for min-healthy, and as one in whose place no backup is needed.
func (g *group) fall(conditions []condition) {
	n := g.census(conditions)
	alone := n.up+n.unknown == 0 // nobody ordinary can serve
	below := n.up+n.unknown < g.spec.MinHealthy.Of(n.all)
	joins := alone || below && g.spec.BelowMin == balancer.JoinBackup
	switch {
	case below && g.spec.BelowMin == balancer.TakeDown:
		g.fallback = FallbackDown
	case joins && n.backups > 0: // rather than panic
		g.fallback = FallbackBackup
	case below && g.spec.BelowMin == balancer.Panic:
		g.fallback = FallbackPanic
	default:
		g.fallback = ""
	}
	for j, k := range g.checks {
		c, backup := &conditions[j], g.spec.Backends[j].Backup
		switch {
		case g.fallback == FallbackDown, backup && !joins:
			k.weight = 0
		case g.fallback == FallbackPanic && !backup && k.weight > 0 && c.state == BackendDown && k.last.way.known:
			c.table, c.panicked = balancer.StateUp, true
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
