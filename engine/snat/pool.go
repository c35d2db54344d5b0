package snat

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/internal/packet"
)

// How long a port rests; see the package comment.
const (
	Rest      = time.Minute
	ShortRest = 5 * time.Second
)

// Key is what a pool is for.
type Key struct {
	Source packet.Addr // of the balancer, towards
	Remote packet.Addr // the backend's
	Port   uint16      // the backend's; 0: any, of a service that has several
	Proto  uint16
}

// A port's word. It is 0 if the port is free, or lent to somebody who has no flow yet.
const (
	lent    uint64 = 1 << 63 // the lower half is the flow
	resting uint64 = 1 << 62 // the lower half is since when, ms; then the port that followed
)

const (
	pagePorts = 1 << pageBits
	pageBits  = 10
	pages     = 1 << (16 - pageBits)
	// crowded is how many of a page's ports are taken when its candidate is not worth a look.
	crowded = pagePorts * 7 / 8
)

// page is a part of a pool's ports. Who looks for one touches two cache lines of it, however
// many are taken; the port's word, which is most likely in no cache, is only written.
type page struct {
	taken [pagePorts / 64]atomic.Uint64 // a bit a port: it is lent or rests
	words [pagePorts]atomic.Uint64
}

// bit returns the word of taken that has the port's bit, and the bit.
func (g *page) bit(port uint16) (at *atomic.Uint64, bit uint64) {
	return &g.taken[port%pagePorts/64], 1 << (port % 64)
}

// pool lends the ports of one key.
type pool struct {
	all *Pools
	key Key
	id  uint32

	pages [pages]atomic.Pointer[page] // made when first needed
	taken [pages]atomic.Int32         // of a page: lent or resting
	used  atomic.Int64                // the sum of it, and of those that look for one just now; below 0: retired
	short atomic.Bool                 // somebody found none

	mu         sync.Mutex
	head, tail uint16 // of those that rest, the first to come first; undefined while there is none
	rest       int

	busy uint32 // when it was in use last, ms; Reap's own
}

// retired is what used is far below zero by.
const retired = -1 << 40

// take lends a port for a flow to the remote port, whose client's hash is given.
func (p *pool) take(hash uint64, remote uint16, ports *Ports) (port uint16, ok bool) {
	if port, ok = p.candidate(hash, remote, ports); !ok {
		port, ok = p.search(hash, remote, ports)
	}
	if !ok {
		p.short.Store(true)
		p.used.Add(-1)
	}
	return port, ok
}

// candidate takes one of those that the hash says.
func (p *pool) candidate(hash uint64, remote uint16, ports *Ports) (port uint16, ok bool) {
	for first := 0; first < ports.n; first += pagePorts {
		hash *= 0x9e3779b97f4a7c15 // 2^64 by the golden ratio (Knuth, TAOCP 3, 6.4)
		i, _ := bits.Mul64(hash, uint64(min(pagePorts, ports.n-first)))
		port, _ = ports.at(first + int(i))
		if p.taken[port>>pageBits].Load() < crowded && p.claim(port, remote) {
			return port, true
		}
	}
	return 0, false
}

// search takes any, from where the hash says.
func (p *pool) search(hash uint64, remote uint16, ports *Ports) (port uint16, ok bool) {
	start, _ := bits.Mul64(hash, uint64(ports.n))
	for n := 0; n < ports.n; n++ {
		i := int(start) + n
		if i >= ports.n {
			i -= ports.n
		}
		port, more := ports.at(i)
		switch {
		case p.taken[port>>pageBits].Load() == pagePorts:
			n += min(pagePorts-1-int(port)%pagePorts, more)
		case p.full(port): // in a page that has ports which are not lent at all
			n += min(63-int(port)%64, more)
		case p.claim(port, remote):
			return port, true
		}
	}
	return 0, false
}

// claim takes a port if it is free.
func (p *pool) claim(port, remote uint16) bool {
	at, bit := p.page(port).bit(port)
	if at.Load()&bit != 0 || at.Or(bit)&bit != 0 {
		return false
	}
	// After it: of two that take a port of two pools which overlap, one at least sees the
	// other.
	if p.all.overlap(p, port, remote) {
		at.And(^bit)
		return false
	}
	p.taken[port>>pageBits].Add(1)
	return true
}

// page returns the port's page, and makes it if there is none.
func (p *pool) page(port uint16) *page {
	at := &p.pages[port>>pageBits]
	have := at.Load()
	if have == nil {
		at.CompareAndSwap(nil, new(page))
		have = at.Load()
	}
	return have
}

// word returns the port's word.
func (p *pool) word(port uint16) *atomic.Uint64 { return &p.page(port).words[port%pagePorts] }

// has reports whether the port is taken.
func (p *pool) has(port uint16) bool {
	have := p.pages[port>>pageBits].Load()
	if have == nil {
		return false
	}
	at, bit := have.bit(port)
	return at.Load()&bit != 0
}

// full reports whether all 64 ports are taken that the port's bit is among.
func (p *pool) full(port uint16) bool {
	at, _ := p.page(port).bit(port)
	return at.Load() == ^uint64(0)
}

// flow returns the flow that has the port.
func (p *pool) flow(port uint16) (flow uint32, ok bool) {
	have := p.pages[port>>pageBits].Load()
	if have == nil {
		return 0, false
	}
	w := have.words[port%pagePorts].Load()
	return uint32(w), w&lent != 0
}

// free makes a port that is taken a free one.
func (p *pool) free(port uint16) {
	p.word(port).Store(0)
	at, bit := p.page(port).bit(port)
	at.And(^bit)
	p.taken[port>>pageBits].Add(-1)
	p.used.Add(-1)
}

// lay has a port that was lent rest.
func (p *pool) lay(port uint16, now uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.word(port).Store(resting | uint64(now))
	if p.rest == 0 {
		p.head = port
	} else {
		last := p.word(p.tail)
		last.Store(last.Load() | uint64(port)<<32)
	}
	p.tail = port
	p.rest++
}

// reapBatch bounds how long whoever removes a flow waits for the pool's lock.
const reapBatch = 256

// reap frees the ports that have rested.
func (p *pool) reap(now uint32) {
	enough := uint32(Rest.Milliseconds())
	if p.short.Swap(false) {
		enough = uint32(ShortRest.Milliseconds())
	}
	for more := true; more; {
		p.mu.Lock()
		for range reapBatch {
			if more = p.rest > 0; !more {
				break
			}
			port := p.head
			w := p.word(port).Load()
			if more = now-uint32(w) >= enough; !more {
				break
			}
			p.head = uint16(w >> 32)
			p.rest--
			p.free(port)
		}
		p.mu.Unlock()
	}
}

// resting returns how many ports rest.
func (p *pool) resting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rest
}
