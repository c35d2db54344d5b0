package conntrack

import "sync/atomic"

// A flow's packets and bytes in one direction share a word, so that one addition counts a
// packet. Before the packets run over into the bytes, which have room for so many of the
// largest, what is more than a remainder goes to the flow's detail.
const (
	packetBits = 23
	packetMask = 1<<packetBits - 1
	byteUnit   = 1 << 32 // of detail.bytes
)

// Touch counts a packet of n bytes from side d, and keeps the flow from expiring. The packet
// is on its way: [Table.Untouch] takes it back if not. If it returns true, [Table.Carry] is
// to be called: it does not do so itself, or it would not be inlined.
func (f *Flow) Touch(d Direction, n int, now uint32) (full bool) {
	set32(&f.seen, now)
	return add64(&f.count[d&1], uint64(n)<<packetBits|1)&packetMask == 0
}

// Note counts like [Flow.Touch] a packet of n bytes that is about the flow, and not of it:
// anybody may have sent it, so it does not keep the flow from expiring.
func (t *Table) Note(r Ref, f *Flow, n int) {
	if f.Touch(r.Direction(), n, f.lastSeen()) {
		t.Carry(r)
	}
}

// Carry moves what has filled the word of what r stands for to the detail. The packets have
// run over by one.
func (t *Table) Carry(r Ref) {
	i, d := r.index(), r.Direction()&1
	f, more := &t.flows[i], &t.details[i]
	bytes := atomic.LoadUint64(&f.count[d])>>packetBits - 1
	more.packets.Add(1 << (16 * d))
	more.bytes[d].Add(uint32(bytes / byteUnit))
	set64(&f.count[d], bytes%byteUnit<<packetBits)
}

// Untouch takes one that [Flow.Touch] counted back out of the count, for a packet that
// did not leave after all. The flow stays as fresh as the packet made it: somebody is at
// its other end.
func (t *Table) Untouch(r Ref, f *Flow, n int) {
	d, more := r.Direction()&1, &t.details[r.index()]
	word := atomic.LoadUint64(&f.count[d])
	packets, bytes := word&packetMask, word>>packetBits
	if packets == 0 {
		more.packets.Add(^uint32(0) << (16 * d))
		packets = 1 << packetBits
	}
	if bytes < uint64(n) {
		more.bytes[d].Add(^uint32(0))
		bytes += byteUnit
	}
	set64(&f.count[d], (bytes-uint64(n))<<packetBits|(packets-1))
}

// counted returns the packets and bytes that record i has seen in a direction. It is for
// people: in the moment when a word is carried, it may be off by that.
func (t *Table) counted(i uint32, d Direction) (packets, bytes uint64) {
	word, more := atomic.LoadUint64(&t.flows[i].count[d]), &t.details[i]
	packets = uint64(uint16(more.packets.Load()>>(16*d)))<<packetBits + word&packetMask
	return packets, uint64(more.bytes[d].Load())*byteUnit + word>>packetBits
}

// uncount forgets what record i has counted.
func (t *Table) uncount(i uint32) {
	f, more := &t.flows[i], &t.details[i]
	for d := range f.count {
		set64(&f.count[d], 0)
		more.bytes[d].Store(0)
	}
	more.packets.Store(0)
}
