package conntrack

import "github.com/afxlb/afxlb/internal/packet"

// ClientMAC returns where the client's packets come from, so that replies go back the
// same way, as [packet.MAC.Word] has it.
func (f *Flow) ClientMAC() uint64 { return f.mac.Load() }

// LearnClientMAC changes what ClientMAC returns. The caller knows that a packet of the
// client itself told so: a false one would have the replies.
func (f *Flow) LearnClientMAC(word uint64) { f.mac.Store(word) }

// MoveMAC has the replies of all flows that go to the MAC old go to another one: that of a
// router that took over, or of a client that moved. Flows of a client that unless is true
// of stay; nil is true of none. It returns how many flows were moved.
//
// It sweeps all records, a few at a time under their shard's lock, so it is not for a worker.
// unless is called with the lock held: it neither waits nor uses the table.
func (t *Table) MoveMAC(old, to uint64, unless func(client packet.Addr) bool) (moved int) {
	for i := range t.shards {
		s := &t.shards[i]
		for at, more := uint32(i)*t.perShard, true; more; at += rangeBatch {
			s.mu.RLock()
			end := min(at+rangeBatch, s.fresh)
			for j := at; j < end; j++ {
				f := &t.flows[j]
				if f.Live() && f.ClientMAC() == old && (unless == nil || !unless(t.address(j, client))) &&
					f.mac.CompareAndSwap(old, to) {
					moved++
				}
			}
			more = end < s.fresh
			s.mu.RUnlock()
		}
	}
	return moved
}
