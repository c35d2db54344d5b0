package conntrack

import "github.com/afxlb/afxlb/internal/packet"

// MoveHops asks of each flow where its replies go from now on: of the client's address and
// of the hop word of where they went to. It returns how many go elsewhere. Anybody may
// call it at any time; it locks a shard for a few records at a time, as [Table.Range]
// does, and a flow that learns an address meanwhile keeps what it has learnt.
func (t *Table) MoveHops(to func(client packet.Addr, hop uint64) uint64) (moved int) {
	for i := range t.shards {
		s := &t.shards[i]
		for at, more := uint32(i)*t.perShard, true; more; at += rangeBatch {
			s.mu.RLock()
			end := min(at+rangeBatch, s.fresh)
			for j := at; j < end; j++ {
				f := &t.flows[j]
				hop := f.hop.Load()
				if hop == 0 || !f.Live() {
					continue
				}
				if now := to(t.address(j, client), hop); now != hop && f.hop.CompareAndSwap(hop, now) {
					moved++
				}
			}
			more = end < s.fresh
			s.mu.RUnlock()
		}
	}
	return moved
}
