package control

import (
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// easing lets backends that are back come to their share by and by, where that goes by load
// and nobody has asked for a slow-start. A server that has just started has no connections,
// so that by least-conn all new ones would be its: enough to bring it down again. So it gets a
// handicap of as many connections as it would have by the others, which goes down to nothing
// in [easeTime]; how many it gets meanwhile has a bound of its own, see [balancer.Picker].
//
// It belongs to the reconciling goroutine.
type easing struct {
	loads     *balancer.Loads
	timer     *time.Timer                       // due while somebody is returning
	back      map[balancer.BackendKey]time.Time // who is in rotation, and since when as of condition.back; of services that go by load
	returning map[uint32]*comeback              // by ID
}

const easeTime, easeEvery = 20 * time.Second, 250 * time.Millisecond

// comeback is one backend's return.
type comeback struct {
	since time.Time
	share int64 // the connections that it would have by the others, at its return
	// least is the fewest that it has had since: those of before that are still there. A
	// server that was started anew may seem to have many, until their clients notice.
	least int64
}

func newEasing(loads *balancer.Loads) *easing {
	e := &easing{loads: loads, timer: time.NewTimer(time.Hour), returning: map[uint32]*comeback{}}
	e.timer.Stop()
	return e
}

// adopt begins the return of those who are back by t, before it is in force. Nobody has a
// handicap who is back while nobody else of the service is there.
func (e *easing) adopt(t *balancer.Table, spec *balancer.Spec, conditions [][]condition, now time.Time) {
	there := map[balancer.BackendKey]time.Time{}
	for i := range t.Services {
		s := &t.Services[i]
		if s.Algorithm != balancer.LeastConn && s.Algorithm != balancer.TwoChoices {
			continue
		}
		var back []int // indexes
		var others burden
		for j, id := range s.Backends {
			c, b, key := &conditions[i][j], &t.Backends[id], t.Keys[id]
			if b.Flags&balancer.Up == 0 || b.Weight == 0 {
				continue
			}
			if there[key] = c.back; c.back != e.back[key] && now.Sub(c.back) < easeTime {
				e.loads.Accept(id) // its check says so, or the ID was another's
				back = append(back, j)
			} else if e.returning[id] == nil {
				others.add(e.loads.Live(id), b.Weight)
			}
		}
		for _, j := range back {
			id := s.Backends[j]
			if share := others.share(t.Backends[id].Weight); share > 0 && spec.Services[i].SlowStart == 0 {
				e.returning[id] = &comeback{conditions[i][j].back, share, e.loads.Live(id)}
			}
		}
	}
	e.back = there
	for id := range e.returning {
		if int(id) >= len(t.Keys) || !e.there(t.Keys[id]) {
			e.end(id)
		}
	}
	e.step(now)
}

// there reports whether a backend is in rotation, of a service that goes by load.
func (e *easing) there(key balancer.BackendKey) bool { _, ok := e.back[key]; return ok }

// burden is the connections and the weights of several backends.
type burden struct{ live, weight int64 }

func (b *burden) add(live int64, weight uint16) {
	b.live, b.weight = b.live+live, b.weight+int64(weight)
}

// share returns how many connections another backend would have by them.
func (b *burden) share(weight uint16) int64 {
	if b.weight == 0 {
		return 0
	}
	return b.live * int64(weight) / b.weight
}

// step sets the handicaps to what they are at a time.
func (e *easing) step(now time.Time) {
	for id, c := range e.returning {
		left := easeTime - now.Sub(c.since)
		if left <= 0 {
			e.end(id)
			continue
		}
		c.least = min(c.least, e.loads.Live(id))
		missing := max(0, c.share-c.least)
		e.loads.SetHandicap(id, missing*left.Milliseconds()/easeTime.Milliseconds())
	}
	if len(e.returning) > 0 {
		e.timer.Reset(easeEvery)
	} else {
		e.timer.Stop()
	}
}

// end takes a backend's handicap away.
func (e *easing) end(id uint32) {
	delete(e.returning, id)
	e.loads.SetHandicap(id, 0)
}
