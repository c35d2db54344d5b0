package snat

import (
	"math/bits"
	"sync/atomic"

	"github.com/afxlb/afxlb/internal/packet"
)

// Group is where one worker takes the ports for flows to one backend from: a pool for each
// source address.
type Group struct {
	pools []*pool
	ports *Ports
}

// Group returns the pools of a remote end, which is in a key without a source.
func (s *Pools) Group(remote Key, sources []packet.Addr, ports *Ports) *Group {
	g := &Group{ports: ports}
	for _, a := range sources {
		if a.Is4() == remote.Remote.Is4() {
			remote.Source = a
			g.pools = append(g.pools, s.get(remote))
		}
	}
	return g
}

// Lease is a port that is lent.
type Lease struct {
	Source packet.Addr
	Port   uint16
	pool   *pool
}

// Pool names the pool that the port goes back to.
func (l *Lease) Pool() uint32 { return l.pool.id }

// Take lends a port for a flow to the remote port, whose client's end has the hash: from
// the address that this says, or the next one that has a port. It returns false if none
// has.
func (g *Group) Take(hash uint64, remote uint16) (l Lease, ok bool) {
	n := len(g.pools)
	for i := range n {
		at := (int(hash>>33) + i) % n
		p := g.pools[at]
		for p.used.Add(1) <= 0 { // taken down: there is, or will be, another one
			p = p.all.get(p.key)
			g.pools[at] = p
		}
		if port, ok := p.take(hash, remote, g.ports); ok {
			return Lease{Source: p.key.Source, Port: port, pool: p}, true
		}
	}
	return Lease{}, false
}

// Word is where Bind will write: who has other things to do until then may have it loaded.
func (l *Lease) Word() *atomic.Uint64 { return l.pool.word(l.Port) }

// Bind notes which flow has the port.
func (l *Lease) Bind(flow uint32) { l.Word().Store(lent | uint64(flow)) }

// Cancel gives back a port that nothing was sent from.
func (l *Lease) Cancel() { l.pool.free(l.Port) }

// Sample writes the flows that have some of the ports, as the hash says, and returns how
// many they are. Each of these ports may be used for the remote port, if its flow no longer
// is: as long as it is lent, no other pool lends it for that.
func (g *Group) Sample(hash uint64, remote uint16, flows []uint32) (n int) {
	if len(g.pools) == 0 || g.ports.n == 0 {
		return 0
	}
	for range flows {
		hash = hash*0x9e3779b97f4a7c15 + 1
		i, low := bits.Mul64(hash, uint64(g.ports.n))
		port, _ := g.ports.at(int(i))
		p := g.pools[low%uint64(len(g.pools))]
		if flow, ok := p.flow(port); ok && !p.all.overlap(p, port, remote) {
			flows[n] = flow
			n++
		}
	}
	return n
}

// Lease returns the lease of a port that is lent, for who takes it over.
func (s *Pools) Lease(pool uint32, port uint16) Lease {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.byID[pool]
	return Lease{Source: p.key.Source, Port: port, pool: p}
}
