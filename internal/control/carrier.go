package control

import (
	"time"

	"github.com/afxlb/afxlb/internal/health"
)

// carrier is one port's. Where several are served each has its own: while one is away
// nothing is known of those who are behind it, as of anybody while all are.
type carrier struct {
	up, seen bool
	since    time.Time
	back     time.Time // since when it is up after a loss; zero: it was never lost
}

// lookAtPorts takes over which ports have a carrier, and reports whether one has come back.
func (o *observed) lookAtPorts(now time.Time) (returned bool) {
	for i := range o.snapshot.Ports {
		if i == len(o.carriers) {
			o.carriers = append(o.carriers, carrier{since: now})
		}
		c, up := &o.carriers[i], o.snapshot.Ports[i].Up && o.hops != nil
		if up != c.up {
			c.up, c.since = up, now
			if up && c.seen {
				c.back, returned = now, true
			}
		}
		c.seen = c.seen || up
	}
	return returned
}

// deaf reports whether an answer says nothing about the backend, since the port by which it
// was reached last is away, or was when it was asked, or has only just come back: neighbours
// have to be found again first, and till then only a good one is an answer.
func (o *observed) deaf(k *check, result *health.Result) bool {
	if k.port >= len(o.carriers) || len(o.carriers) == 1 {
		return false
	}
	c := &o.carriers[k.port]
	return !c.up || result.Start.Before(c.since) ||
		result.Err != nil && !c.back.IsZero() && result.Start.Sub(c.back) < reachGrace
}
