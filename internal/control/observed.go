package control

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/health"
)

// observed is what is known of the world. It is guarded by the Reconciler's lock.
type observed struct {
	link     link
	seen     bool            // the link was up once
	carriers []carrier       // by port
	hops     Hops            // nil while the interface is away
	snapshot egress.Snapshot // the latest; its hops are of when the link was up
	// overrides are what operators have changed at run time; never changed once there.
	overrides Overrides
	groups    []*group // one a service, in the Spec's order
	askers    map[health.Target][]*check
	troubles  troubles
	stepped   stepped // ramps, last
	scratch   scratch
}

// link is the ports' carrier: that of any. Without one nothing can be known of anybody else:
// what was known before stays.
type link struct {
	known bool // somebody has looked
	up    bool
	since time.Time
	back  time.Time // since when it is up after a loss; zero: it was never lost
	why   string    // why not up
}

// group is the checks of one service.
type group struct {
	spec   *balancer.ServiceSpec
	static map[netip.Addr]balancer.StaticHop // the Spec's
	checks []*check                          // one a backend, in the Spec's order
	good   time.Time                         // start of the latest probe that a backend which can be reached answered well
	// suspects: some may be under suspicion; see [check.answer].
	suspects   bool
	held       bool        // some have answered, on a port that need not, for the service's address
	serving    bool        // somebody was up when it was judged last
	fallback   string      // see [FallbackBackup]
	candidates []Candidate // of fall; memory that is used again
	lost       bool        // as in its ServiceView
	shown      []BackendView
}

// check is what is known of one backend.
type check struct {
	group   *group
	key     balancer.BackendKey
	target  health.Target // the configured check
	holder  health.Target // whether it holds the service's address; zero: that is not asked
	said    verdicts      // to both
	health  balancer.Health
	began   time.Time // since when it is to be found out how the backend is
	asked   time.Time // since when by these questions; older answers were to others
	failing time.Time // start of the first of the bad answers in a row; zero: the last was good
	risen   time.Time // start of the probe that brought it up
	text    string    // outcome of the latest probes, for people
	answers [2]answer // the latest, by inquiry
	traffic suspicion // what clients' connections say
	// poor: it has never answered well, but badly, and another one is up or the warm-up
	// over. It counts as down then; its first good answer brings it up.
	poor     bool
	last     judgement // the latest; without a carrier it stays
	doubt    time.Time // until when the want of a way to it may be everybody's
	port     int       // by which a way led to it last
	shown    shown
	override Override
	nominal  uint16 // the weight that the file gives it, or an override
	weight   uint16 // the effective one, see [group.weigh]
	ramp     uint8  // how much of it counts, in steps of [balancer.RampSteps]
	attendance
	back time.Time // since when it is back; zero: it was there from the start, or is not
	// draining is since when the backend has no effective weight; zero: it has one.
	draining time.Time
}

const notChecked, noAnswer, wellChecked = "not checked", "no answer yet", "ok"

// regroup returns the groups of spec, with what is known of those backends that were
// there before, under these overrides: a change keeps what it does not change, the way of
// asking included. It changes nothing. A service of which nothing has changed has the group
// that it had, since most are that: they are judged again, as at any other time.
func (o *observed) regroup(spec *balancer.Spec, overrides Overrides, now time.Time) []*group {
	before := make(map[balancer.ServiceKey]*group, len(o.groups))
	for _, g := range o.groups {
		before[g.spec.Key()] = g
	}
	sameHops := len(o.groups) > 0 && maps.Equal(o.groups[0].static, spec.Neighbours)
	groups := make([]*group, len(spec.Services))
	for i := range spec.Services {
		s := &spec.Services[i]
		if groups[i] = before[s.Key()]; !sameHops || !groups[i].serves(s, overrides) {
			groups[i] = o.newGroup(s, groups[i], overrides, now)
			groups[i].static = spec.Neighbours
		}
	}
	return groups
}

// serves reports whether g is all that there is to know of s under these overrides.
func (g *group) serves(s *balancer.ServiceSpec, overrides Overrides) bool {
	return g != nil && g.spec.Equal(s) && !slices.ContainsFunc(g.checks, func(k *check) bool { return k.override != overrides[k.key] })
}

// newGroup returns the group of s, with what is known by the one that was there before,
// if any.
func (o *observed) newGroup(s *balancer.ServiceSpec, was *group, overrides Overrides, now time.Time) *group {
	g := &group{spec: s, checks: make([]*check, len(s.Backends))}
	if was != nil {
		g.good, g.suspects, g.held, g.serving, g.lost, g.shown = was.good, was.suspects, was.held, was.serving, was.lost, was.shown
		g.fallback = was.fallback
	}
	list := make([]check, len(s.Backends))
	for j := range s.Backends {
		b, k := &s.Backends[j], &list[j]
		holder, twofold := health.HolderOf(s, b)
		*k = check{
			group: g, key: s.BackendKey(b), target: health.TargetOf(s.Probe(b), &s.Health), holder: holder,
			said: newVerdicts(twofold), began: now, asked: now, text: noAnswer,
		}
		if inside, ok := health.TunnelOf(s, b); ok {
			k.target = inside
		}
		if s.Health.Type == balancer.HealthNone {
			k.text = notChecked
		}
		k.override = overrides[k.key]
		k.nominal = k.override.weight(b)
		if old := was.check(j, k.key); old != nil && (k.disabled() || !old.disabled()) {
			k.inherit(old)
		} else { // also of one that is enabled: nobody has asked it meanwhile
			k.health = balancer.NewHealth(&s.Health)
			if was != nil {
				k.attendance = absent
			}
			if others := o.askers[k.target]; len(others) > 0 {
				k.overhear(others[0])
			}
		}
		if k.disabled() {
			k.text = notChecked
		}
		g.checks[j] = k
	}
	return g
}

// check returns the check of a backend that is likely to be at index j.
func (g *group) check(j int, key balancer.BackendKey) *check {
	if g == nil {
		return nil
	}
	if j < len(g.checks) && g.checks[j].key == key {
		return g.checks[j]
	}
	for _, k := range g.checks {
		if k.key == key {
			return k
		}
	}
	return nil
}

// inherit takes over what is known of the same backend. Another question takes the
// place of the old one; until its own answers say otherwise, the state stays.
func (k *check) inherit(old *check) {
	k.health, k.began, k.risen, k.last, k.doubt, k.shown, k.draining = old.health, old.began, old.risen, old.last, old.doubt, old.shown, old.draining
	k.port, k.attendance, k.back = old.port, old.attendance, old.back
	k.traffic = old.traffic
	if k.target.Address == old.target.Address && k.target.Type == old.target.Type {
		k.answers = old.answers
	}
	if k.target == old.target && k.holder == old.holder {
		k.asked = old.asked
	}
	if sameQuestion(k.target, old.target) && sameQuestion(k.holder, old.holder) {
		k.failing, k.text, k.said = old.failing, old.text, old.said
		k.health.Retune(&k.group.spec.Health)
		return
	}
	k.health.Adopt(&k.group.spec.Health)
}

// sameQuestion reports whether two targets differ at most in when they are asked.
func sameQuestion(a, b health.Target) bool {
	a.Interval, a.Fast, a.Timeout = b.Interval, b.Fast, b.Timeout
	return a == b
}

// overhear takes over the latest answer to the same check, asked on behalf of another
// service: the next one may be an interval away.
func (k *check) overhear(other *check) {
	text := other.said.text[asWell]
	if text == noAnswer {
		return
	}
	good := text == wellChecked
	counts := k.said.take(asWell, text, good)
	k.text = k.said.outcome()
	if !counts {
		return
	}
	if !good {
		k.failing = other.failing
	}
	if k.health.Observe(good) {
		k.risen = k.began
	}
}

// install makes groups, which are spec's, those that answers are for.
func (o *observed) install(spec *balancer.Spec, groups []*group) {
	o.groups, o.askers = groups, map[health.Target][]*check{}
	for i, g := range groups {
		g.spec, g.static = &spec.Services[i], spec.Neighbours // nothing of a Spec before is kept for its sake
		for _, k := range g.checks {
			if k.target.Type == balancer.HealthNone || k.disabled() {
				continue
			}
			o.askers[k.target] = append(o.askers[k.target], k)
			if k.said.twofold {
				o.askers[k.holder] = append(o.askers[k.holder], k)
			}
		}
	}
}

// targets returns all questions to ask.
func (o *observed) targets() []health.Target {
	list := make([]health.Target, 0, len(o.askers))
	for t := range o.askers {
		list = append(list, t)
	}
	return list
}

// addresses returns every backend's address once.
func (o *observed) addresses() (list []netip.Addr) {
	seen := map[netip.Addr]bool{}
	for _, g := range o.groups {
		for _, k := range g.checks {
			if !seen[k.key.Address] {
				seen[k.key.Address] = true
				list = append(list, k.key.Address)
			}
		}
	}
	return list
}

// moves returns which neighbours have moved since it was called last.
func (o *observed) moves() []egress.Move {
	if o.hops == nil {
		return nil
	}
	return o.hops.Moves()
}

// look takes over what the watcher of next hops says, and reports whether the link
// has come back. While it is away the hops stay as they were.
func (o *observed) look(now time.Time) (returned bool) {
	was := o.link
	switch {
	case o.hops == nil && !was.known: // it is to be served only just now
		return false
	case o.hops == nil:
		o.link = link{why: "the interface is away"}
	default:
		s := o.hops.Snapshot()
		o.link = link{up: s.LinkUp, why: s.LinkWhy}
		if !s.LinkUp || len(s.Hops) == 0 { // or the watcher has not looked yet
			s.Hops, s.Ways = o.snapshot.Hops, o.snapshot.Ways
		}
		o.snapshot = s
	}
	o.link.known, o.link.since, o.link.back = true, was.since, was.back
	returned = o.link.up && !was.up
	if o.link.up != was.up {
		o.link.since = now
	}
	if returned && o.seen {
		o.link.back = now
	}
	o.seen = o.seen || o.link.up
	return o.lookAtPorts(now) || returned
}
