package control

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/neighbour"
)

// The states of a backend, as people see them.
const (
	BackendUp          = "up"          // new flows go there
	BackendDown        = "down"        // its check says so
	BackendWarming     = "warming"     // not known yet
	BackendDrain       = "drain"       // up, but without a weight: no new flows
	BackendUnreachable = "unreachable" // no way there by the served interface
)

// condition is a backend's state, for people and for the table.
type condition struct {
	state  string
	reason string         // of unreachable; of warming, what is missing
	table  balancer.State // what the compiler is told
}

// noMAC is why a backend with a way to it is warming.
const noMAC = "its MAC address is not known yet"

// reachGrace is how long a next hop may leave the kernel's questions unanswered. The
// kernel itself gives up after three seconds (mcast_solicit in
// Documentation/networking/ip-sysctl.rst), asks again, and may find it at any time;
// a backend whose MAC address was known keeps it for as long.
const reachGrace = 3 * time.Second

// way is what is known of the way to an address for a mode.
type way struct {
	hop    balancer.NextHop
	known  bool          // hop may be used
	reason string        // why there is no way; empty while it is only not known yet
	wait   time.Duration // after which time alone will change this; 0: never
}

// way judges the way to an address at a moment when the link is, or was last, up.
func (o *observed) way(a netip.Addr, mode balancer.Mode, now time.Time) way {
	h, ok := o.snapshot.Hops[a]
	if !ok {
		return way{} // not looked at yet
	}
	if why := Obstacle(h, mode); why != "" {
		return way{reason: why}
	}
	w := way{hop: balancer.NextHop{MAC: h.MAC, OnLink: h.OnLink}, known: h.MAC != [6]byte{}}
	if h.Known {
		return w
	}
	asked := h.Asked
	if asked.Before(o.link.since) { // without a carrier nobody could answer
		asked = o.link.since
	}
	if waited := now.Sub(asked); waited < reachGrace {
		w.wait = reachGrace - waited
		return w
	}
	return way{reason: fmt.Sprintf("no answer to %s since %v", question(h), reachGrace)}
}

// Obstacle says why a mode can't send packets by a next hop, whatever its MAC address;
// empty if it can.
func Obstacle(h neighbour.Hop, mode balancer.Mode) string {
	switch {
	case h.Why != "":
		return h.Why
	case mode.Traits().NeedsLink && !h.OnLink:
		return fmt.Sprintf("behind the router %s; mode %s needs the same link", h.Via, mode)
	}
	return ""
}

// question names the protocol by which the kernel asks for a next hop.
func question(h neighbour.Hop) string {
	if h.Via.Is4() {
		return "ARP"
	}
	return "neighbour discovery"
}

// condition judges one backend. trusted says that what is not known counts as up.
func (k *check) condition(w way, weight uint16, trusted bool) condition {
	state := k.health.State()
	if trusted && state == balancer.StateUnknown {
		state = balancer.StateUp
	}
	switch {
	case w.reason != "":
		if state != balancer.StateSuspect {
			state = balancer.StateDown
		}
		return condition{BackendUnreachable, w.reason, state}
	case state == balancer.StateDown || state == balancer.StateSuspect:
		return condition{BackendDown, "", state}
	case state == balancer.StateUnknown:
		return condition{BackendWarming, "no good answer yet", state}
	case !w.known:
		return condition{BackendWarming, noMAC, balancer.StateUnknown}
	case weight == 0:
		return condition{BackendDrain, "", state}
	}
	return condition{BackendUp, "", state}
}

// assessment is all that a table is made from, besides the Spec.
type assessment struct {
	facts      balancer.Facts
	local      []netip.Addr
	conditions [][]condition // by service and backend
	wait       time.Duration // after which time alone may change it; 0: never
}

// assess judges all backends of the groups.
func (o *observed) assess(groups []*group, now time.Time) *assessment {
	if !o.link.up {
		now = o.link.since // the clock stands still, as nothing can be known
	}
	n := 0
	for _, g := range groups {
		n += len(g.checks)
	}
	a := &assessment{
		local: o.snapshot.Local, conditions: make([][]condition, len(groups)),
		facts: balancer.Facts{
			SourceMAC: o.snapshot.MAC, States: make(map[balancer.BackendKey]balancer.State, n),
			NextHops: make(map[netip.Addr]balancer.NextHop, len(o.snapshot.Hops)),
		},
	}
	all, states := make([]condition, n), []balancer.State(nil)
	for i, g := range groups {
		var trusted bool
		var wait time.Duration
		states, trusted, wait = g.trust(states[:0], o.link.since, now)
		a.sooner(wait)
		a.conditions[i], all = all[:len(g.checks)], all[len(g.checks):]
		for j, k := range g.checks {
			w := o.way(k.key.Address, g.spec.Mode, now)
			a.sooner(w.wait)
			if w.known {
				a.facts.NextHops[k.key.Address] = w.hop
			}
			c := k.condition(w, g.spec.Backends[j].Weight, trusted)
			a.conditions[i][j], a.facts.States[k.key] = c, c.table
		}
	}
	if !o.link.up {
		a.wait = 0
	}
	return a
}

// sooner has the assessment made again after a while, unless that is 0.
func (a *assessment) sooner(wait time.Duration) {
	if wait > 0 && (a.wait == 0 || wait < a.wait) {
		a.wait = wait
	}
}

// trust reports whether unknown backends of the service count as up. It appends their
// states to the given ones, whose memory is used again.
func (g *group) trust(states []balancer.State, linked, now time.Time) (_ []balancer.State, trusted bool, wait time.Duration) {
	for _, k := range g.checks {
		states = append(states, k.health.State())
	}
	since := g.started
	if since.Before(linked) {
		since = linked
	}
	trusted, wait = balancer.Trusted(states, since, now)
	return states, trusted, wait
}
