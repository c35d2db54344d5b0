package control

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// The states of a backend, as people see them.
const (
	BackendUp          = "up"          // new flows go there
	BackendDown        = "down"        // its check says so
	BackendWarming     = "warming"     // not known yet
	BackendDrain       = "drain"       // up, but without a weight: no new flows
	BackendUnreachable = "unreachable" // no way there by the served interface
	BackendDisabled    = "disabled"    // an operator has taken it out: as if it were not there
)

// condition is a backend's state, for people and for the table.
type condition struct {
	state  string
	reason string         // of unreachable; of warming, what is missing
	table  balancer.State // what the compiler is told

	// What weigh makes of it.

	panicked bool      // it gets new flows though it is down
	share    int       // of new flows that its weight gives it, in percent; 0: it gets none
	back     time.Time // since when it is back; zero: it was there from the start, or is not
}

// noMAC is why a backend with a way to it is warming.
const noMAC = "its MAC address is not known yet"

// reachGrace is how long a next hop may leave the kernel's questions unanswered. The
// kernel itself gives up after three seconds (mcast_solicit in
// Documentation/networking/ip-sysctl.rst), asks again, and may find it at any time;
// a backend whose MAC address was known keeps it for as long.
const reachGrace = 3 * time.Second

// way is what is known of the way to a backend.
type way struct {
	hop balancer.NextHop
	// several are all next hops that are known, where a route has several.
	several []balancer.Way
	known   bool          // hop may be used
	reason  string        // why there is no way; empty while it is only not known yet
	asked   time.Time     // since when the next hop does not answer; zero: it does, or there is none
	wait    time.Duration // after which time alone will change this; 0: never
}

// judgement is how a backend is, and the way there.
type judgement struct {
	condition
	way way
}

// way judges the way to a backend while there is a carrier.
func (o *observed) way(k *check, now time.Time) way {
	static, named := k.group.static[k.key.Address]
	h, ok := o.snapshot.Hops[k.key.Address]
	if !ok && !named {
		return way{} // not looked at yet
	}
	if why := Obstacle(&o.snapshot, k.group.static, k.group.spec, k.key.Address); why != "" {
		return way{reason: why}
	}
	if named {
		return o.static(k, &static)
	}
	w := way{hop: o.nextHop(&h), several: o.ways(k.key.Address), known: h.MAC != [6]byte{}}
	w.hop.Own = o.snapshot.Own[k.key.Address]
	if h.Known {
		return w
	}
	w.asked = h.Asked
	if w.asked.Before(o.link.since) { // without a carrier nobody could answer
		w.asked = o.link.since
	}
	// Who did not answer before does so only when it has: the link's return, or a route's,
	// is no answer.
	if waited := now.Sub(w.asked); waited < reachGrace && k.last.state != BackendUnreachable {
		w.wait = reachGrace - waited
		return w
	}
	return way{reason: fmt.Sprintf("no answer to %s within %v", question(h), reachGrace), asked: w.asked}
}

// Obstacle says why packets of s for a backend can't be sent as things are, whatever its
// next hop's MAC address; empty if they can. The static next hops count, not what was seen
// instead.
func Obstacle(seen *egress.Snapshot, static map[netip.Addr]balancer.StaticHop, s *balancer.ServiceSpec, backend netip.Addr) string {
	h, mode := seen.Hops[backend], s.Mode.Traits()
	if named, ok := static[backend]; ok {
		_, why := staticPort(&named, seen)
		h = egress.Hop{Why: why, OnLink: true}
	}
	switch {
	case h.Why != "":
		return h.Why
	case mode.NeedsLink && !h.OnLink:
		return fmt.Sprintf("behind the router %s; mode %s needs the same link", h.Via, s.Mode)
	case mode.Encapsulates && !s.TunnelSource(backend, seen.Own[backend]).IsValid():
		return fmt.Sprintf("the machine has no address to send from to %s; mode %s needs one, or a tunnel-source", backend, s.Mode)
	}
	return ""
}

// question names the protocol by which the kernel asks for a next hop.
func question(h egress.Hop) string {
	if h.Via.Is4() {
		return "ARP"
	}
	return "neighbour discovery"
}

// condition judges a backend by its health and the way there. trusted says that what
// is not known counts as up.
func (k *check) condition(w way, trusted bool) condition {
	if k.disabled() {
		return disabled
	}
	state := k.health.State()
	switch {
	case k.poor:
		state = balancer.StateDown
	case trusted && state == balancer.StateUnknown:
		state = balancer.StateUp
	}
	switch {
	case w.reason != "":
		return condition{state: BackendUnreachable, reason: w.reason, table: state}
	case state == balancer.StateDown || state == balancer.StateSuspect:
		return condition{state: BackendDown, table: state}
	case state == balancer.StateUnknown:
		return condition{state: BackendWarming, reason: "no good answer yet", table: state}
	case !w.known:
		return condition{state: BackendWarming, reason: noMAC, table: balancer.StateUnknown}
	case k.nominal == 0:
		return condition{state: BackendDrain, table: state}
	}
	return condition{state: BackendUp, table: state}
}

// doubtful returns what the table is told of a backend without a way there, and after
// what time alone that changes. At first, while nobody of the service can be reached,
// while nobody has answered since this one's next hop does not, and when somebody has
// just come back, it is more likely the way to all of them that is gone: it is a suspect
// then, for a while from the last of these, and its flows stay.
func (k *check) doubtful(w way, serving, returned bool, now time.Time) (state balancer.State, wait time.Duration) {
	begins := k.last.state != BackendUnreachable
	switch state := k.health.State(); {
	case state == balancer.StateDown || state == balancer.StateSuspect:
		return state, 0
	case !begins && k.last.table == balancer.StateDown && serving && !returned:
		return balancer.StateDown, 0 // known by itself
	}
	good := k.group.good
	if begins || !serving || returned || !good.IsZero() && !good.After(w.asked) {
		k.doubt = now.Add(reachGrace)
	}
	switch {
	case !now.Before(k.doubt):
		return balancer.StateDown, 0
	case serving:
		wait = k.doubt.Sub(now)
	}
	return balancer.StateSuspect, wait
}

// judge writes how each backend of the service is, and returns after what time alone
// that changes; 0: never.
func (o *observed) judge(g *group, now time.Time, out []condition) (wait time.Duration) {
	sooner := func(d time.Duration) {
		if d > 0 && (wait == 0 || d < wait) {
			wait = d
		}
	}
	states, since := o.scratch.states[:0], o.link.since
	up := false
	for j, k := range g.checks {
		if k.last.way = o.way(k, now); k.last.way.known {
			k.port = int(k.last.way.hop.Link.Port)
		}
		sooner(k.last.way.wait)
		up = up || k.health.State() == balancer.StateUp && k.last.way.reason == "" && k.nominal > 0 && !g.spec.Backends[j].Backup
	}
	for j, k := range g.checks {
		state := k.health.State()
		idle := k.nominal == 0 || g.spec.Backends[j].Backup
		if k.disabled() || state == balancer.StateUp && (k.last.way.reason != "" || idle) {
			state = balancer.StateDown // it is no help to clients, or not yet
		}
		k.poor = state == balancer.StateUnknown && !k.failing.IsZero() && (up || now.Sub(k.began) >= balancer.WarmUp)
		if k.poor {
			state = balancer.StateDown
		} else if state == balancer.StateUnknown && !k.failing.IsZero() {
			sooner(balancer.WarmUp - now.Sub(k.began))
		}
		if state == balancer.StateUnknown && k.began.After(since) {
			since = k.began
		}
		states = append(states, state)
	}
	o.scratch.states = states
	trusted, again := balancer.Trusted(states, since, now)
	sooner(again)
	serving := false
	for j, k := range g.checks {
		out[j] = k.condition(k.last.way, trusted)
		serving = serving || out[j].state == BackendUp || out[j].state == BackendDrain
	}
	returned := serving && !g.serving
	g.serving = serving
	for j, k := range g.checks {
		if c := &out[j]; c.state == BackendUnreachable {
			c.table, again = k.doubtful(k.last.way, serving, returned, now)
			sooner(again)
		}
		k.last.condition = out[j]
	}
	return wait
}

// frozen writes how the backends were when there was a carrier; only whether they are to get
// new flows may have changed. Of new ones nothing is known.
func (g *group) frozen(out []condition) {
	for j, k := range g.checks {
		switch out[j] = k.last.condition; {
		case k.disabled():
			out[j] = disabled
		case k.last.state == "":
			out[j] = condition{state: BackendWarming, reason: noMAC, table: balancer.StateUnknown}
		case out[j].state == BackendUp && k.nominal == 0:
			out[j].state = BackendDrain
		case out[j].state == BackendDrain && k.nominal > 0:
			out[j].state = BackendUp
		}
	}
}

// scratch is memory that is used again.
type scratch struct{ states []balancer.State }

// assessment is all that a table is made from, besides the Spec.
type assessment struct {
	facts      balancer.Facts
	machine    machine
	conditions [][]condition // by service and backend
	wait       time.Duration // after which time alone may change it; 0: never
}

// assess judges all backends of the groups, or without a carrier leaves them as they
// were.
func (o *observed) assess(groups []*group, now time.Time) *assessment {
	n := 0
	for _, g := range groups {
		n += len(g.checks)
	}
	a := &assessment{
		machine: machineOf(&o.snapshot), conditions: make([][]condition, len(groups)),
		facts: balancer.Facts{
			Ports: o.ports(), Gateways: o.gateways(), Ephemeral: balancer.Ports(o.snapshot.Ephemeral),
			States:   make(map[balancer.BackendKey]balancer.State, n),
			NextHops: make(map[netip.Addr]balancer.NextHop, len(o.snapshot.Hops)), Ways: map[netip.Addr][]balancer.Way{},
			Weights: map[balancer.BackendKey]uint16{}, Ramps: map[balancer.BackendKey]uint8{},
		},
	}
	all := make([]condition, n)
	for i, g := range groups {
		a.conditions[i], all = all[:len(g.checks)], all[len(g.checks):]
		if o.link.up {
			a.sooner(o.judge(g, now, a.conditions[i]))
		} else {
			g.frozen(a.conditions[i])
		}
		a.sooner(g.weigh(a.conditions[i], o.stepped, now))
		for j, k := range g.checks {
			if k.weight != g.spec.Backends[j].Weight {
				a.facts.Weights[k.key] = k.weight
			}
			if k.ramp < balancer.RampSteps {
				a.facts.Ramps[k.key] = k.ramp
			}
			a.facts.States[k.key] = a.conditions[i][j].table
			if k.last.way.known {
				a.facts.NextHops[k.key.Address] = k.last.way.hop
				if several := k.last.way.several; len(several) > 1 {
					a.facts.Ways[k.key.Address] = several
				}
			}
			a.drain(k, now)
		}
	}
	return a
}

// sooner has the assessment made again after a while, unless that is 0.
func (a *assessment) sooner(wait time.Duration) {
	if wait > 0 && (a.wait == 0 || wait < a.wait) {
		a.wait = wait
	}
}
