package snat

// Foreign marks a flow that is one of the pools behind: see [Over].
const Foreign uint32 = 1 << 31

// Over returns pools over s, of which s learns nothing: each is a copy, made when it is asked
// for. The flows that have their ports are as in s, marked as [Foreign].
func Over(s *Pools) *Pools {
	own := NewPools()
	own.behind = s
	own.now.Store(s.now.Load())
	own.wide.Store(s.wide.Load())
	return own
}

// Adopt notes which flow, of the pools' own, has a port that is lent by a pool behind, and returns
// the pool that the port goes back to.
func (s *Pools) Adopt(behind uint32, port uint16, flow uint32) (pool uint32) {
	s.behind.mu.RLock()
	k := s.behind.byID[behind].key
	s.behind.mu.RUnlock()
	p := s.get(k)
	p.word(port).Store(lent | uint64(flow))
	return p.id
}

// bring copies the pool of a key from behind; nil if there is none.
func (s *Pools) bring(k Key) *pool {
	from := s.behind.find(k)
	if from == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byKey[k]; p != nil {
		return p
	}
	p := s.add(k)
	for i := range from.pages {
		have := from.pages[i].Load()
		if have == nil {
			continue
		}
		own := new(page)
		taken := 0
		for port := range own.words {
			at, bit := have.bit(uint16(port))
			if at.Load()&bit == 0 {
				continue
			}
			to, _ := own.bit(uint16(port))
			to.Or(bit)
			taken++
			if w := have.words[port].Load(); w&lent != 0 {
				own.words[port].Store(w | uint64(Foreign))
			}
		}
		p.pages[i].Store(own)
		p.taken[i].Store(int32(taken))
		p.used.Add(int64(taken))
	}
	return p
}
