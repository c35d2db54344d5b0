package balancer

// turn is where a service's turn is at one worker.
type turn struct {
	epoch uint64 // the selection that next points into; 0: none was seen yet
	next  uint32 // index of the backend whose turn it is
	last  uint32 // ID of the backend that had the turn before
	picks uint32 // so far; LeastConn and TwoChoices only
}

// roundRobin picks the next backend in turn.
func (p *Picker) roundRobin(s *Service) uint32 {
	if s.selection.ramping != nil {
		return p.weightedRoundRobin(s)
	}
	t := p.turn(s)
	return t.take(s.selection.ids, int(t.next))
}

// turn returns the service's turn, valid for its selection.
func (p *Picker) turn(s *Service) *turn {
	t := &p.turns[s.ID]
	if t.epoch != s.selection.epoch {
		p.resume(t, s)
	}
	return t
}

// take gives the turn to the backend at index i and puts it at the next one.
func (t *turn) take(ids []uint32, i int) uint32 {
	t.last, t.next = ids[i], uint32(i+1)
	if i+1 == len(ids) {
		t.next = 0
	}
	return t.last
}

// resume finds the turn's place in a new selection: behind the backend that had
// it last, be that one still in rotation or not. Starting over would favour the
// first backends each time that anything changes.
func (p *Picker) resume(t *turn, s *Service) {
	ids := s.selection.ids
	switch behind, ok := s.behind(t.last); {
	case t.epoch == 0:
		t.next = p.worker
	case ok:
		t.next = behind
	}
	t.next %= uint32(len(ids))
	t.epoch = s.selection.epoch
}

// behind returns how many of the eligible backends come before the one that
// follows id in the Spec's order; false if the service does not have id.
func (s *Service) behind(id uint32) (n uint32, ok bool) {
	ids := s.selection.ids
	for _, b := range s.Backends {
		if int(n) < len(ids) && ids[n] == b {
			n++
		}
		if b == id {
			return n, true
		}
	}
	return 0, false
}

// weightedRoundRobin picks by nginx's smooth weighted round-robin
// (ngx_http_upstream_get_peer): at each pick every backend earns its weight, and
// the richest one is picked and pays what all have earned. Over as many picks as
// the sum of the weights each backend is picked exactly its weight, well spread
// among the others.
func (p *Picker) weightedRoundRobin(s *Service) uint32 {
	t := p.credited(s)
	t.last = p.richest(s.selection) // round-robin goes on behind it
	return t.last
}

// credited returns the service's turn, with credits that are valid for its selection.
func (p *Picker) credited(s *Service) *turn {
	t := &p.turns[s.ID]
	if t.epoch != s.selection.epoch {
		first := t.epoch == 0
		p.carry(t, s.selection)
		if first { // workers start at different places
			for range int(p.worker) % len(s.selection.ids) {
				p.richest(s.selection)
			}
		}
	}
	return t
}

func (p *Picker) richest(s *selection) uint32 {
	best := s.ids[0]
	var most int64
	for i, id := range s.ids {
		c := p.credits[id] + int64(s.weights[i])
		p.credits[id] = c
		if i == 0 || c > most {
			best, most = id, c
		}
	}
	p.credits[best] -= int64(s.total)
	return best
}

// carry takes the credits over into a new selection, so that a change does not
// begin the turn again with the heaviest backend. What was earned or owed under
// larger weights, or by a former owner of the ID, comes down to at most one pick.
func (p *Picker) carry(t *turn, s *selection) {
	limit := int64(s.total)
	for _, id := range s.ids {
		p.credits[id] = min(max(p.credits[id], -limit), limit)
	}
	t.epoch = s.epoch
}
