package conntrack

// Expire removes idle flows. It inspects at most limit records, and returns how many
// it removed. The next call goes on with the next list, so that one which uses up
// the limit each time does not keep the others waiting. One goroutine calls it, a
// few times a second, off the workers' threads.
//
// A list is kept in order of last inspection, not of last packet, because
// keeping it in order of last packet would cost a locked write per packet. A
// record at the head that was used meanwhile goes back to the tail. It is
// looked at again after an eighth of its timeout, so an idle flow outlives its
// timeout by no more than that.
func (t *Table) Expire(now uint32, limit int) (removed int) {
	for range len(t.shards) * int(numClasses) {
		s, c := &t.shards[t.sweep/uint32(numClasses)], Class(t.sweep%uint32(numClasses))
		t.sweep = (t.sweep + 1) % uint32(len(t.shards)*int(numClasses))
		n, idle := t.expireClass(s, c, now, limit)
		if limit, removed = limit-n, removed+idle; limit <= 0 {
			break
		}
	}
	return removed
}

// expireBatch bounds how long a shard's lock is held: a removal waits for memory a few
// times.
const expireBatch = 16

func (t *Table) expireClass(s *shard, c Class, now uint32, limit int) (inspected, removed int) {
	timeout := t.timeouts[c].Load() // one for the whole list
	for more := true; more && inspected < limit; {
		s.mu.Lock()
		for range min(expireBatch, limit-inspected) {
			i := s.lists[c].head
			if more = i != none && now-t.details[i].stamp >= timeout/8+1; !more {
				break
			}
			inspected++
			if idle(now, t.flows[i].lastSeen()) > timeout {
				s.remove(t, i)
				removed++
				continue
			}
			s.lists[c].renew(t.details, i, now)
		}
		s.mu.Unlock()
	}
	t.stats.expired.Add(uint64(removed))
	return inspected, removed
}

// idle returns the time from seen to now. Workers read the clock on their own,
// so a record may have been seen a moment after the caller's now.
func idle(now, seen uint32) uint32 {
	if d := now - seen; int32(d) > 0 {
		return d
	}
	return 0
}

// makeRoom evicts the least recently used flow of one class when a further record
// of class would not fit into its budget.
func (s *shard) makeRoom(t *Table, class Class, now uint32) {
	b := budget(class)
	if !s.full(b) {
		return
	}
	if i := s.oldest(t, s.victim(class), now); i != none {
		s.remove(t, i)
		t.stats.evicted[b].Add(1)
	}
}

// victim returns the class that makes way for a newcomer of class c: its own, so
// that a flood pushes out its own kind. But as long as c has less than half of the
// budget it is the largest one, so that whoever came first can't keep the others
// out: a handshake would not live until its answer. Connections that are over go
// before all others, and push out only their like.
func (s *shard) victim(c Class) Class {
	b := budget(c)
	switch {
	case c.over():
		return c
	case b == established && s.lists[TCPClosing].n > 0:
		return TCPClosing
	case b == established && s.lists[TCPRefused].n > 0:
		return TCPRefused
	case 2*s.lists[c].n >= s.budget[b]:
		return c
	}
	for other := range numClasses {
		if budget(other) == b && s.lists[other].n > s.lists[c].n {
			c = other
		}
	}
	return c
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
