package persist

// alloc returns a place for a client of the class fresh: a new one, or that of whoever was
// silent for longest.
func (s *shard) alloc(now uint32) (uint32, bool) {
	if len(s.entries) < s.limit {
		s.entries = append(s.entries, entry{})
		return uint32(len(s.entries) - 1), true
	}
	i, holds := s.victim(now)
	if i == none {
		return 0, false
	}
	s.pull(i)
	delete(s.index, s.entries[i].client)
	if holds {
		s.evicted++
	}
	return i, true
}

// victim returns who makes way for a client of the class fresh: one of those that were silent
// for longest whose time is over, else one of its like as long as these have their share, else
// one of the others, who is forgotten before his time.
func (s *shard) victim(now uint32) (i uint32, holds bool) {
	for c := range s.lists {
		if i := s.lists[c].head; i != none && !s.entries[i].holds(now) {
			return i, false
		}
	}
	from := proven
	if s.lists[fresh].n > 0 && (s.lists[fresh].n >= s.limit/freshShare || s.lists[proven].n == 0) {
		from = fresh
	}
	return s.lists[from].head, true
}

// touch makes an entry the youngest of a class.
func (s *shard) touch(i uint32, c class, now uint32) {
	s.pull(i)
	s.entries[i].class, s.entries[i].touched = c, now
	s.push(i)
}

func (s *shard) push(i uint32) {
	l, e := &s.lists[s.entries[i].class], &s.entries[i]
	e.prev, e.next = l.tail, none
	if l.tail == none {
		l.head = i
	} else {
		s.entries[l.tail].next = i
	}
	l.tail = i
	l.n++
}

func (s *shard) pull(i uint32) {
	e := &s.entries[i]
	l := &s.lists[e.class]
	if e.prev == none {
		l.head = e.next
	} else {
		s.entries[e.prev].next = e.next
	}
	if e.next == none {
		l.tail = e.prev
	} else {
		s.entries[e.next].prev = e.prev
	}
	l.n--
}
