package snat

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/internal/packet"
)

// Pools are the pools of a process. All workers share them.
type Pools struct {
	now  atomic.Uint32 // as of the latest Reap
	wide atomic.Int32  // pools for any port of a remote

	behind *Pools // whose pools these are copies of, made when they are asked for; nil: none

	mu    sync.RWMutex // held for moments, where a flow begins or ends
	byKey map[Key]*pool
	byID  []*pool // nil: free
}

// NewPools returns pools that have lent nothing.
func NewPools() *Pools { return &Pools{byKey: map[Key]*pool{}} }

// get returns the pool of a key, and makes it if there is none.
func (s *Pools) get(k Key) *pool {
	if p := s.find(k); p != nil {
		return p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byKey[k]; p != nil {
		return p
	}
	return s.add(k)
}

// add makes the pool of a key. The lock is held.
func (s *Pools) add(k Key) *pool {
	p := &pool{all: s, key: k, busy: s.now.Load()}
	for int(p.id) < len(s.byID) && s.byID[p.id] != nil {
		p.id++
	}
	if int(p.id) == len(s.byID) {
		s.byID = append(s.byID, nil)
	}
	s.byID[p.id], s.byKey[k] = p, p
	if k.Port == 0 {
		s.wide.Add(1)
	}
	return p
}

// find returns the pool of a key; nil if there is none.
func (s *Pools) find(k Key) *pool {
	s.mu.RLock()
	p := s.byKey[k]
	s.mu.RUnlock()
	if p == nil && s.behind != nil {
		return s.bring(k)
	}
	return p
}

// overlap reports whether the port is taken in the pool that p shares it with, for a flow
// to the remote port: two services may name one backend, one of them by its port and the
// other, which has many, by its address alone.
func (s *Pools) overlap(p *pool, port, remote uint16) bool {
	if s.wide.Load() == 0 {
		return false
	}
	k := p.key
	if k.Port == 0 {
		k.Port = remote
	} else {
		k.Port = 0
	}
	if k == p.key {
		return false
	}
	other := s.find(k)
	return other != nil && other.has(port)
}

// Find returns the flow that a packet with this key may be an answer to. It is a hint: the
// flow may have ended, or be to another port of the same remote.
func (s *Pools) Find(k *packet.Key) (flow uint32, ok bool) {
	at := Key{Source: k.Dst, Remote: k.Src, Port: k.SrcPort, Proto: uint16(k.Proto)}
	if p := s.find(at); p != nil {
		flow, ok = p.flow(k.DstPort)
	}
	if ok || s.wide.Load() == 0 {
		return flow, ok
	}
	at.Port = 0
	if p := s.find(at); p != nil {
		flow, ok = p.flow(k.DstPort)
	}
	return flow, ok
}

// Release has a port rest whose flow has ended. The pool is as [Lease.Pool] said.
func (s *Pools) Release(pool uint32, port uint16) {
	s.mu.RLock()
	p := s.byID[pool]
	s.mu.RUnlock()
	p.lay(port, s.now.Load())
}

// idleFor is how long a pool that lends nothing is kept.
const idleFor = 10 * time.Minute

// Reap frees the ports that have rested, and takes down pools that nobody uses. One
// goroutine calls it, a few times a second; now is in ms.
func (s *Pools) Reap(now uint32) {
	s.now.Store(now)
	for _, p := range s.list() {
		p.reap(now)
		if p.used.Load() != 0 {
			p.busy = now
		} else if now-p.busy > uint32(idleFor.Milliseconds()) {
			s.retire(p)
		}
	}
}

func (s *Pools) list() (list []*pool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, p := range s.byID {
		if p != nil {
			list = append(list, p)
		}
	}
	return list
}

// retire takes a pool down, if nobody has begun to use it. Whoever has it will see.
func (s *Pools) retire(p *pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.used.CompareAndSwap(0, retired) {
		return
	}
	delete(s.byKey, p.key)
	s.byID[p.id] = nil
	if p.key.Port == 0 {
		s.wide.Add(-1)
	}
}

// Info is one pool at one moment.
type Info struct {
	Key
	Lent, Resting int
}

// Info returns how full the pools are, in no order.
func (s *Pools) Info() []Info {
	pools := s.list()
	list := make([]Info, len(pools))
	for i, p := range pools {
		rest := p.resting()
		list[i] = Info{Key: p.key, Resting: rest, Lent: max(int(p.used.Load())-rest, 0)}
	}
	return list
}
