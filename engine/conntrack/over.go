package conntrack

import (
	"sync/atomic"

	"github.com/afxlb/afxlb/engine/snat"
	"github.com/afxlb/afxlb/internal/packet"
)

// A table over another one lets somebody do with a packet what a worker would do, and change
// nothing: each flow that is asked for is copied when it is asked for, and what happens then
// happens to the copy. It is one goroutine's.

// over is what such a table has besides.
type over struct {
	behind  *Table
	brought map[uint32]uint32 // records behind, and here
}

// overFlows is how many a packet may have to do with, and more.
const overFlows = 256

// Over returns a table over t, with t's hashes and timeouts. Of c only Loads and Observer count.
func Over(t *Table, c Config) *Table {
	c.MaxFlows, c.Workers, c.Seed = overFlows, 1, t.seed
	own := New(c)
	for class := range t.timeouts {
		own.timeouts[class].Store(t.timeouts[class].Load())
	}
	own.memory.Close() // mapped it stays; nobody takes these flows over
	own.Ports = snat.Over(t.Ports)
	own.over = &over{behind: t, brought: map[uint32]uint32{}}
	return own
}

// bringFound copies the flow that [Table.Find] would find behind.
func (t *Table) bringFound(hash uint64, k *packet.Key, d Direction) {
	b := t.over.behind
	s := b.shard(hash)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if r, ok := s.find(b, s.head(hash), k, d); ok {
		t.copy(r.index())
	}
}

// bringRivals copies the flows that n meets when it is inserted.
func (t *Table) bringRivals(n *NewFlow) {
	hash := t.HashClient(n.Key, Request)
	t.bringFound(hash, n.Key, Request)
	if n.Source == nil {
		k := n.replyKey()
		t.bringFound(hash, &k, Reply)
	} else if n.Scattered {
		_, _ = t.FindScattered(n.Key, n.BackendID)
	}
}

// own returns the record here of a flow that a port is lent to, which may be one behind.
func (t *Table) own(i uint32) (uint32, bool) {
	if i&snat.Foreign == 0 {
		return i, true
	}
	return t.adopt(i &^ snat.Foreign)
}

// adopt copies the live record i behind, and returns which it is here.
func (t *Table) adopt(i uint32) (uint32, bool) {
	b := t.over.behind
	s := b.home(i)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !b.flows[i].Live() {
		return 0, false
	}
	return t.copy(i)
}

// copy copies the live record i behind, whose shard's lock is held, unless it was already.
func (t *Table) copy(i uint32) (uint32, bool) {
	if j, ok := t.over.brought[i]; ok {
		return j, true
	}
	b := t.over.behind
	from, k := &b.flows[i], b.key(ref(i, Request))
	hash := t.HashClient(&k, Request)
	s := t.shard(hash)
	j, ok := s.alloc(t)
	if !ok {
		return 0, false
	}
	t.over.brought[i] = j
	f, d := &t.flows[j], &t.details[j]
	f.BackendID, f.port, f.proto, f.low = from.BackendID, from.port, from.proto, from.low
	f.flags = from.flags &^ spilled
	if f.flags&ipv6 != 0 {
		t.addresses[j] = b.addresses[i]
	}
	f.hop.Store(from.hop.Load())
	set32(&f.seen, from.lastSeen())
	more := &b.details[i]
	for side := range f.count {
		set32(&f.ack[side], from.Expected(Direction(side)))
		set64(&f.count[side], atomic.LoadUint64(&from.count[side]))
		d.bytes[side].Store(more.bytes[side].Load())
	}
	d.packets.Store(more.packets.Load())
	d.created, d.stamp = more.created, more.stamp
	if f.Masked() {
		t.pools[j] = t.Ports.Adopt(b.pools[i], from.port[source], j)
	}
	f.state.Store(from.state.Load())
	s.file(t, j, hash, s.head(hash))
	s.lists[f.Class()].push(t.details, j)
	return j, true
}

// Info returns what a table says of the flow behind r, for people.
func (t *Table) Info(r Ref, now uint32) Info { return t.info(r.index(), now) }
