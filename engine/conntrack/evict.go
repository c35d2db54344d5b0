package conntrack

// makeRoom evicts the least recently used flow of one class when a further record
// of class would not fit into its budget. One that is over and finds none of its like
// comes in all the same, above the budget; whoever is next makes up for it.
func (s *shard) makeRoom(t *Table, class Class, now uint32) {
	b := budget(class)
	for s.full(b) {
		i := s.oldest(t, s.victim(class), now)
		if i == none {
			return
		}
		s.remove(t, i)
		t.stats.evicted[b].Add(1)
	}
}

// victim returns the class that makes way for a newcomer of class c. Connections that
// are over go before all others, and push out only their like. A kind of flows pushes out
// its own, so that a flood of one-sided ones, which anybody can make, spares those whose
// both sides were seen; but an eighth of the budget is for the one-sided, whoever came
// first, and what they have beyond that yields to all others.
func (s *shard) victim(c Class) Class {
	over := TCPClosing
	if s.lists[TCPClosing].n < s.lists[TCPRefused].n {
		over = TCPRefused
	}
	switch {
	case embryonicKind.has(c):
		return s.crowd(c, embryonicKind)
	case c.over() || s.lists[over].n > 0:
		return over
	}
	n, share := s.count(oneSidedKind), max(s.budget[established]/8, 1)
	if n > share || n == share && oneSidedKind.has(c) {
		return s.crowd(c, oneSidedKind)
	}
	return s.crowd(c, provenKind)
}

// crowd returns the class of a kind that makes way for a newcomer of class c: its own if it
// has half of what the kind has, so that a flood pushes out its own; else the largest one,
// so that whoever came first can't keep the others out: a handshake would not live until
// its answer.
func (s *shard) crowd(c Class, k kind) Class {
	if k.has(c) && 2*s.lists[c].n >= s.count(k) {
		return c
	}
	largest, n := c, 0
	for other := range numClasses {
		if k.has(other) && s.lists[other].n > n {
			largest, n = other, s.lists[other].n
		}
	}
	return largest
}

// count returns how many flows of a kind of classes the shard has.
func (s *shard) count(k kind) (n int) {
	for c := range s.lists {
		if k.has(Class(c)) {
			n += s.lists[c].n
		}
	}
	return n
}

// lruProbe bounds how many records an eviction looks at.
const lruProbe = 16

// oldest returns the record of class c that was used least recently among the
// first lruProbe of its list, or none. Those that were used since they took
// their place go back to the tail. In a list of flows that never saw a second
// packet, as in a flood, the head is the oldest at once.
func (s *shard) oldest(t *Table, c Class, now uint32) uint32 {
	l := &s.lists[c]
	best, bestIdle := none, uint32(0)
	for i, n := l.head, min(lruProbe, l.n); n > 0; n-- {
		f := &t.details[i]
		seen, next := t.flows[i].lastSeen(), f.next
		if d := idle(now, seen); best == none || d > bestIdle {
			best, bestIdle = i, d
		}
		if seen == f.created && f.stamp == f.created {
			break
		}
		if int32(seen-f.stamp) > 0 {
			l.renew(t.details, i, now)
		}
		i = next
	}
	return best
}
