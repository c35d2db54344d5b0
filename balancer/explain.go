package balancer

import "github.com/afxlb/afxlb/internal/packet"

// What is here lets somebody ask what a pick would be, and why, without taking part: the very
// code of the pick runs on copies.

// Copy returns a table with t's content and links of its own: whoever meets an unknown VLAN
// by it gives that no number for others.
func (t *Table) Copy() *Table {
	own := *t
	if t.Links != nil {
		own.Links = &Links{}
		own.Links.list.Store(t.Links.list.Load())
	}
	return &own
}

// Copy returns the counts of now of the backends with IDs below n.
func (l *Loads) Copy(n int) *Loads {
	own := NewLoads()
	for id := range uint32(n) {
		own.AddLive(id, int(l.Live(id)))
		own.AddFlows(id, int(l.Flows(id)))
		own.AddEstablished(id, int(l.Established(id)))
		own.SetHandicap(id, l.Handicap(id))
		if n := l.Refused(id); n != 0 {
			own.Refuse(id)
			own.backends[id].refused.Store(n)
		}
	}
	return own
}

// Copy makes to, which is new, what p is to a service: it would pick the same, going by its own
// loads. Only p's owner may call it. A nil service is none.
func (p *Picker) Copy(to *Picker, s *Service) {
	to.worker, to.random = p.worker, p.random
	if s == nil {
		return
	}
	to.turns[s.ID] = p.turns[s.ID]
	for _, id := range s.Backends {
		to.credits[id], to.picked[id] = p.credits[id], p.picked[id]
	}
}

// Candidate is a backend in rotation, as a pick finds it.
type Candidate struct {
	ID       uint32
	Weight   uint32
	Live     int64  // connections
	Limit    uint32 // of connections; 0: any
	Handicap int64  // further ones that it counts for, since it has come back
	Refused  int64  // clients in a row
	Credit   int64  // WeightedRoundRobin: what it has earned
}

// Basis is what a pick goes by.
type Basis struct {
	Algorithm  Algorithm
	Consistent bool   // by the consistent hash, whatever the algorithm is
	Slot       uint64 // of Slots of the hash's table; without meaning if Slots is 0
	Slots      int
	Owner      uint32      // ID of the slot's; who is full is passed over
	Candidates []Candidate // of what is no hash
	Turn       int         // which of them is next: RoundRobin and, among equals, LeastConn
}

// Basis returns what a pick for packet k of the service would go by now; consistent: as
// [Service.Consistent] does. It advances nothing.
func (p *Picker) Basis(s *Service, k *packet.Key, consistent bool) Basis {
	b := Basis{Algorithm: s.Algorithm, Consistent: consistent}
	if s.selection == nil {
		return b
	}
	table := s.selection.rotated
	if consistent {
		table = s.selection.midstream
	}
	if consistent || s.Algorithm.Hashes() {
		if table != nil {
			b.Slot, b.Slots, b.Owner = table.slot(s.hash(k)), len(table.slots), table.at(s.hash(k))
		}
		return b
	}
	for i, id := range s.selection.ids {
		limit := uint32(0)
		if s.selection.limits != nil {
			limit = s.selection.limits[i]
		}
		b.Candidates = append(b.Candidates, Candidate{
			ID: id, Limit: limit, Weight: s.selection.weights[i], Credit: p.credits[id],
			Live: p.loads.Live(id), Handicap: p.loads.Handicap(id), Refused: p.loads.Refused(id),
		})
	}
	if len(b.Candidates) > 0 {
		t := p.turns[s.ID] // a copy
		if t.epoch != s.selection.epoch {
			p.resume(&t, s)
		}
		b.Turn = int(t.next)
	}
	return b
}

// Len returns how many links have a number.
func (l *Links) Len() int { return len(l.list.Load().links) }
