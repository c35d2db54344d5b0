package fragment

// store is the frames that a shard holds: a ring of bytes, and a ring of slots that say
// whose they are, both in the order in which they came.
type store struct {
	bytes []byte
	slots []slot
	first uint64 // slots[first%len] is the oldest
	next  uint64 // slots[next%len] is the next one to be written
	end   uint64 // behind the newest frame: like slot.at
	live  int    // slots that somebody waits for
}

// slot is one frame.
type slot struct {
	at     uint64 // where it begins, of all bytes that there ever were: modulo the ring's size it is the place
	size   int
	record uint32 // none: nobody waits for it any more
	port   uint8  // that it came by
}

func (s *store) slot(i uint64) *slot { return &s.slots[i%uint64(len(s.slots))] }

func (s *store) frame(p *slot) []byte {
	at := p.at % uint64(len(s.bytes))
	return s.bytes[at:][:p.size]
}

// push holds a copy of frame, which came by port, for a record. The oldest ones go if there is no room, and
// frame itself if there never is.
func (s *store) push(frame []byte, port uint8, record uint32, evicted *Tally) {
	size := uint64(len(s.bytes))
	if uint64(len(frame)) > size {
		evicted.add(len(frame))
		return
	}
	at := s.end
	if rest := size - at%size; rest < uint64(len(frame)) {
		at += rest // a frame is in one piece
	}
	s.end = at + uint64(len(frame))
	for s.first != s.next && (s.next-s.first == uint64(len(s.slots)) || s.end-s.slot(s.first).at > size) {
		if p := s.slot(s.first); p.record != none {
			evicted.add(p.size)
			s.live--
		}
		s.first++
	}
	p := s.slot(s.next)
	*p = slot{at, len(frame), record, port}
	copy(s.frame(p), frame)
	s.next++
	s.live++
}

// take moves the frames of a record to a queue, in the order in which they came. There are
// few slots in all, so it looks at each.
func (s *store) take(record uint32, to *Frames, evicted *Tally) {
	for i := s.first; i != s.next && s.live > 0; i++ {
		p := s.slot(i)
		if p.record != record {
			continue
		}
		if to == nil || !to.push(s.frame(p), p.port) {
			evicted.add(p.size)
		}
		p.record = none
		s.live--
	}
	for s.first != s.next && s.slot(s.first).record == none {
		s.first++
	}
}
