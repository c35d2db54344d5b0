package control

import (
	"slices"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// View is what is so at one moment: what was desired and is in force, and the state of
// everything that it names. It is never changed once published; the difference of two
// is what has happened in between ([Changes]).
type View struct {
	Spec     *balancer.Spec  // in force; before the first table, what is desired
	Table    *balancer.Table // in force; nil before the first
	Link     LinkView
	Ports    []egress.Port    // each for itself; nobody has looked yet if there is none
	Services []ServiceView    // in the Spec's order
	Failure  error            // why what is desired is not in force; it is tried again
	Troubles []Trouble        // why probes can't be made: the balancer's own, by cause
	Foreign  []ForeignAddress // addresses that are to be the machine's own, and are not
}

// Trouble is one cause that keeps the balancer itself from probing.
type Trouble struct{ Cause, Text string }

// LinkView is the ports' carrier: that of any of them.
type LinkView struct {
	Up    bool
	Since time.Time
	Why   string // why not up
}

// ServiceView is one service.
type ServiceView struct {
	Spec     *balancer.ServiceSpec
	Up       int           // backends in rotation: in state up, or in panic in any
	Healthy  int           // these, and those that drain
	Warming  bool          // nobody is up, but it is not known of all that they are not
	Fallback string        // what it does for want of healthy backends, see [FallbackBackup]; empty: nothing
	Lost     bool          // nobody is up, and that has been known since somebody was, or from the start
	Backends []BackendView // in the Spec's order
}

// BackendView is one backend. Without a link State is what was known before: see
// [View.Shown] for what is to be told.
type BackendView struct {
	Name   string
	Key    balancer.BackendKey
	State  string // see [BackendUp]
	Reason string
	Since  time.Time // of State
	Check  string    // outcome of the last health check
	Weight uint16    // nominal: the file's, or an operator's
	Backup bool      // it is for when others can't serve
	// Share is how much of what its weight gives it it gets of new flows, in percent: 0 if it
	// is not in rotation, between 0 and 100 while it is on its way up.
	Share int
	// Override is what an operator has changed at run time.
	Override Override
}

// Shown returns a backend's state and reason for people, and since when: green means
// that packets arrive, and without a link none do.
func (v *View) Shown(b *BackendView) (state, reason string, since time.Time) {
	if !v.Link.Up && b.State != BackendDown && b.State != BackendDisabled {
		return BackendUnreachable, v.Link.Why, v.Link.Since
	}
	return b.State, b.Reason, b.Since
}

// PortName returns what a port is called; empty: nobody has looked yet.
func (v *View) PortName(i int) string {
	if i >= len(v.Ports) {
		return ""
	}
	return v.Ports[i].Name
}

// settled reports whether of every backend the first answer and the way are known.
func (v *View) settled() bool {
	for i := range v.Services {
		for j := range v.Services[i].Backends {
			if b := &v.Services[i].Backends[j]; b.Check == noAnswer || b.Reason == noMAC {
				return false
			}
		}
	}
	return true
}

// Generation returns the table's generation, 0 before the first.
func (v *View) Generation() uint64 {
	if v.Table == nil {
		return 0
	}
	return v.Table.Generation
}

// view returns the link for a View. Before anybody has looked it is presumed to be up, so
// that it is news if it is not.
func (l *link) view() LinkView {
	if l.up || !l.known {
		return LinkView{Up: true, Since: l.since}
	}
	return LinkView{Since: l.since, Why: l.why}
}

// first returns the View of before anything is known.
func (r *Reconciler) first(now time.Time) *View {
	o := &r.observed
	a := o.assess(o.groups, now)
	v := &View{Spec: r.spec, Link: o.link.view()}
	for i, g := range o.groups {
		v.Services = append(v.Services, r.describe(g, a.conditions[i], now))
	}
	return v
}

// publish makes the View of what is in force, and tells what has changed.
func (r *Reconciler) publish(a *assessment, failure error, now time.Time) {
	old := r.View()
	v := &View{Spec: r.inForce.spec, Table: r.inForce.table, Failure: failure, Services: make([]ServiceView, len(a.conditions))}
	r.mu.Lock()
	o := &r.observed
	v.Link, v.Troubles = o.link.view(), o.troubles.view()
	v.Ports = o.snapshot.Ports
	if o.snapshot.Local != nil { // else nobody has looked yet
		v.Foreign = Foreign(v.Spec, o.snapshot.Local)
	}
	for i, g := range o.groups {
		v.Services[i] = r.describe(g, a.conditions[i], now)
	}
	r.mu.Unlock()
	r.view.Store(v)
	if r.told != nil {
		r.told()
	}
	if r.probing && v.settled() {
		for _, c := range r.waiting {
			close(c)
		}
		r.waiting = nil
	}
	r.events.InForce(v.Generation())
	for _, e := range Changes(old, v) {
		r.events.Record(e)
	}
}

// describe returns what a View says of one service. What has not changed is shared with
// the View before. The lock is held.
func (r *Reconciler) describe(g *group, conditions []condition, now time.Time) ServiceView {
	v := ServiceView{Spec: g.spec, Fallback: g.fallback}
	list := r.scratch[:0]
	for j, k := range g.checks {
		c := &conditions[j]
		if k.shown.state != c.state || k.shown.reason != c.reason {
			k.shown = shown{c.state, c.reason, now}
		}
		if c.share > 0 {
			v.Up++
		}
		switch c.state {
		case BackendUp, BackendDrain:
			v.Healthy++
		case BackendWarming:
			v.Warming = true
		}
		list = append(list, BackendView{
			Name: g.spec.Backends[j].Name, Key: k.key, State: c.state, Reason: c.reason, Since: k.shown.since, Check: k.text,
			Weight: k.nominal, Override: k.override, Backup: g.spec.Backends[j].Backup, Share: c.share,
		})
	}
	v.Warming = v.Warming && v.Up == 0
	g.lost = v.Up == 0 && (g.lost || !v.Warming)
	v.Lost = g.lost
	if r.scratch = list; !slices.Equal(list, g.shown) {
		g.shown = slices.Clone(list)
	}
	v.Backends = g.shown
	return v
}

// shown is what a View says of a backend, and since when.
type shown struct {
	state, reason string
	since         time.Time
}
