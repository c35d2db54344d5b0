package conntrack

import "github.com/afxlb/afxlb/internal/packet"

// MoveMACs asks of each flow where its replies go from now on: of the client's address and
// of the MAC address that they went to. It returns how many go elsewhere. Anybody may
// call it at any time; it locks a shard for a few records at a time, as [Table.Range]
// does, and a flow that learns an address meanwhile keeps what it has learnt.
func (t *Table) MoveMACs(to func(client packet.Addr, mac uint64) uint64) (moved int) {
	for i := range t.shards {
		s := &t.shards[i]
		for at, more := uint32(i)*t.perShard, true; more; at += rangeBatch {
			s.mu.RLock()
			end := min(at+rangeBatch, s.fresh)
			for j := at; j < end; j++ {
				f := &t.flows[j]
				mac := f.mac.Load()
				if mac == 0 || !f.Live() {
					continue
				}
				if now := to(t.address(j, client), mac); now != mac && f.mac.CompareAndSwap(mac, now) {
					moved++
				}
			}
			more = end < s.fresh
			s.mu.RUnlock()
		}
	}
	return moved
}
