package conntrack

// Expire removes idle flows. It inspects at most limit records, going on where
// the last call stopped, and returns how many it removed. One goroutine calls
// it, a few times a second, off the workers' threads.
//
// A list is kept in order of last inspection, not of last packet, because
// keeping it in order of last packet would cost a locked write per packet. A
// record at the head that was used meanwhile goes back to the tail. It is
// looked at again after an eighth of its timeout, so an idle flow outlives its
// timeout by no more than that.
func (t *Table) Expire(now uint32, limit int) (removed int) {
	for range t.shards {
		s := &t.shards[t.sweep]
		t.sweep = (t.sweep + 1) % uint32(len(t.shards))
		for c := range numClasses {
			n, idle := t.expireClass(s, c, now, limit)
			limit, removed = limit-n, removed+idle
			if limit <= 0 {
				return removed
			}
		}
	}
	return removed
}

// expireBatch bounds how long a shard's lock is held.
const expireBatch = 64

func (t *Table) expireClass(s *shard, c Class, now uint32, limit int) (inspected, removed int) {
	timeout := t.timeouts[c]
	var victims [expireBatch]uint32
	for inspected < limit {
		n, more := 0, false
		s.mu.Lock()
		for range min(expireBatch, limit-inspected) {
			i := s.lists[c].head
			if more = i != none && now-t.flows[i].stamp >= timeout/8+1; !more {
				break
			}
			inspected++
			f := &t.flows[i]
			if idle(now, f.seen.Load()) > timeout {
				s.claim(t.flows, i)
				victims[n] = i
				n++
				continue
			}
			s.lists[c].remove(t.flows, i)
			f.stamp = now
			s.lists[c].push(t.flows, i)
		}
		s.mu.Unlock()
		for _, i := range victims[:n] {
			t.bury(i)
		}
		removed += n
		if !more {
			break
		}
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

// makeRoom evicts the least recently used flow of class's budget when a further
// record would not fit into it: one of the same class if there is one, but
// closing flows before established ones.
func (t *Table) makeRoom(s *shard, class Class, now uint32) {
	b := budget(class)
	s.mu.Lock()
	if !s.full(b) {
		s.mu.Unlock()
		return
	}
	i := none
	for _, c := range evictionOrder[class] {
		if i = s.oldest(t.flows, c, now); i != none {
			s.claim(t.flows, i)
			break
		}
	}
	s.mu.Unlock()
	if i != none {
		t.bury(i)
		t.stats.evicted[b].Add(1)
	}
}

// evictionOrder lists, for the class of a newcomer, whose oldest flow goes.
var evictionOrder = [numClasses][]Class{
	TCPSyn:         {TCPSyn, UDPNew, ICMP},
	UDPNew:         {UDPNew, TCPSyn, ICMP},
	ICMP:           {ICMP, UDPNew, TCPSyn},
	TCPEstablished: {TCPClosing, TCPEstablished, UDPEstablished},
	UDPEstablished: {TCPClosing, UDPEstablished, TCPEstablished},
	TCPClosing:     {TCPClosing, TCPEstablished, UDPEstablished},
}

// lruProbe bounds how many records an eviction looks at.
const lruProbe = 16

// oldest returns the record of class c that was used least recently among the
// first lruProbe of its list, or none. Those that were used since they took
// their place go back to the tail. In a list of flows that never saw a second
// packet, as in a flood, the head is the oldest at once.
func (s *shard) oldest(flows []Flow, c Class, now uint32) uint32 {
	l := &s.lists[c]
	best, bestIdle := none, uint32(0)
	for i, n := l.head, min(lruProbe, l.n); n > 0; n-- {
		f, next := &flows[i], flows[i].next
		seen := f.seen.Load()
		if d := idle(now, seen); best == none || d > bestIdle {
			best, bestIdle = i, d
		}
		if seen == f.created && f.stamp == f.created {
			break
		}
		if int32(seen-f.stamp) > 0 {
			l.remove(flows, i)
			f.stamp = now
			l.push(flows, i)
		}
		i = next
	}
	return best
}
