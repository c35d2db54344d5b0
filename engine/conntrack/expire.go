package conntrack

// Expire removes idle flows, and returns how many. It inspects at most limit records, or
// as long as it falls behind twice as many each time. The next call goes on with the next
// list, so that one which uses up the limit each time does not keep the others waiting.
// One goroutine calls it, a few times a second, off the workers' threads. Ports of full NAT
// that have rested are free again after it.
//
// A list is kept in order of last inspection, not of last packet, because
// keeping it in order of last packet would cost a locked write per packet. A
// record at the head that was used meanwhile goes back to the tail. It is
// looked at again after an eighth of its timeout, so an idle flow outlives its
// timeout by no more than that.
func (t *Table) Expire(now uint32, limit int) (removed int) {
	limit <<= t.hurry
	t.Ports.Reap(now)
	for range len(t.shards) * int(numClasses) {
		s, c := &t.shards[t.sweep/uint32(numClasses)], Class(t.sweep%uint32(numClasses))
		t.sweep = (t.sweep + 1) % uint32(len(t.shards)*int(numClasses))
		n, idle := t.expireClass(s, c, now, limit)
		if limit, removed = limit-n, removed+idle; limit <= 0 {
			break
		}
	}
	switch {
	case limit <= 0:
		t.hurry = min(t.hurry+1, maxHurry)
	case t.hurry > 0:
		t.hurry--
	}
	return removed
}

// maxHurry bounds how long Expire may take: 32 times the limit, with that of the engine a
// million records, some tenths of a second.
const maxHurry = 5

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
			if next := t.details[i].next; next != none {
				t.prefetch(next)
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
	if d := now - seen; -d > ahead {
		return d
	}
	return 0
}

// ahead bounds how long that moment may be, ms. What is left of the clock's round is more
// than any timeout and an eighth of it, by when Expire has looked.
const ahead = 1 << 30
