package control

import (
	"github.com/afxlb/afxlb/balancer"
)

// Difference is what a reload changes, or would change, of services and backends, whatever
// they are called: all that there are after it, in the new Spec's order, and then those that
// are gone.
type Difference struct {
	Generation uint64 // of the table that has it all; of a plan, the one that is in force
	Services   []ServiceDifference
	Ended      []Ended // overrides that end by it
}

// ServiceDifference is one service before and after.
type ServiceDifference struct {
	Was, Is *balancer.ServiceSpec // nil: it is new, or gone
	// Moved of so many Slots of its consistent hash get another owner; see [balancer.Table.Moved].
	Moved, Slots int
	Backends     []BackendDifference
}

// BackendDifference is one backend before and after.
type BackendDifference struct {
	Key     balancer.BackendKey
	Was, Is *balancer.BackendSpec // nil: it is new, or gone
	Live    int64                 // connections that it has
	// Override is what an operator has put in the place of what the file says of it, and
	// stays; those that do not are in Ended.
	Override Setting
}

// Live returns how many connections the service's backends have together.
func (d *ServiceDifference) Live() (n int64) {
	for i := range d.Backends {
		n += d.Backends[i].Live
	}
	return n
}

// difference compares a draft with what is in force.
func (r *Reconciler) difference(d *draft, overrides Overrides) *Difference {
	old := &side{spec: r.inForce.spec, table: r.inForce.table}
	now := &side{spec: d.spec, table: d.compiled.Table}
	out := &Difference{Generation: r.View().Generation(), Services: make([]ServiceDifference, 0, len(now.spec.Services))}
	before := old.services()
	for i := range now.spec.Services {
		s := &now.spec.Services[i]
		j, stays := before[s.Key()]
		if !stays {
			out.Services = append(out.Services, r.alone(s, now.ids(i), true))
			continue
		}
		delete(before, s.Key())
		out.Services = append(out.Services, r.stays(old, j, now, i, overrides))
	}
	for j := range old.spec.Services {
		s := &old.spec.Services[j]
		if _, gone := before[s.Key()]; gone {
			out.Services = append(out.Services, r.alone(s, old.ids(j), false))
		}
	}
	return out
}

// side is what there is before or after a reload.
type side struct {
	spec  *balancer.Spec
	table *balancer.Table // of spec; nil before the first
}

// services are the Spec's, by what they are.
func (s *side) services() map[balancer.ServiceKey]int {
	m := make(map[balancer.ServiceKey]int, len(s.spec.Services))
	for i := range s.spec.Services {
		m[s.spec.Services[i].Key()] = i
	}
	return m
}

// ids are those of service i's backends, in the Spec's order; none without a table.
func (s *side) ids(i int) []uint32 {
	if s.table == nil {
		return nil
	}
	return s.table.Services[i].Backends
}

// stays compares service i of now with j of old, which it is.
func (r *Reconciler) stays(old *side, j int, now *side, i int, overrides Overrides) ServiceDifference {
	was, is := &old.spec.Services[j], &now.spec.Services[i]
	d := ServiceDifference{Was: was, Is: is, Backends: make([]BackendDifference, 0, len(is.Backends))}
	if old.table != nil {
		d.Moved, d.Slots = now.table.Moved(&now.table.Services[i], old.table, &old.table.Services[j])
	}
	before := make(map[balancer.BackendKey]*balancer.BackendSpec, len(was.Backends))
	for n := range was.Backends {
		before[was.BackendKey(&was.Backends[n])] = &was.Backends[n]
	}
	ids := now.ids(i)
	for n := range is.Backends {
		b := &is.Backends[n]
		key := is.BackendKey(b)
		d.Backends = append(d.Backends, BackendDifference{Key: key, Was: before[key], Is: b, Live: r.live(ids, n), Override: overrides[key].Setting})
		delete(before, key)
	}
	ids = old.ids(j)
	for n := range was.Backends {
		key := was.BackendKey(&was.Backends[n])
		if b := before[key]; b != nil {
			d.Backends = append(d.Backends, BackendDifference{Key: key, Was: b, Live: r.live(ids, n)})
		}
	}
	return d
}

// alone is a service that is on one side only: it is new, or gone.
func (r *Reconciler) alone(s *balancer.ServiceSpec, ids []uint32, fresh bool) ServiceDifference {
	d := ServiceDifference{Backends: make([]BackendDifference, len(s.Backends))}
	if fresh {
		d.Is = s
	} else {
		d.Was = s
	}
	for n := range s.Backends {
		b := &s.Backends[n]
		d.Backends[n] = BackendDifference{Key: s.BackendKey(b), Live: r.live(ids, n)}
		if fresh {
			d.Backends[n].Is = b
		} else {
			d.Backends[n].Was = b
		}
	}
	return d
}

// live returns how many connections backend n of those with these IDs has. One that is new
// has none but those of a time when it was there before.
func (r *Reconciler) live(ids []uint32, n int) int64 {
	if n >= len(ids) {
		return 0
	}
	return r.loads.Live(ids[n])
}
