package conntrack

// limbo is a queue of removed records that wait for their grace period, oldest
// first, through detail.next: it takes no memory, however many they are. Guarded by the
// shard's lock.
type limbo struct {
	head, tail uint32 // undefined while n is 0
	n          int
}

// push appends record i, with the [Grace.tag] of its removal in the place of what only
// a live record needs.
func (l *limbo) push(records []detail, i uint32, tag uint64) {
	d := &records[i]
	d.next, d.prev, d.stamp = none, uint32(tag), uint32(tag>>32)
	if l.n == 0 {
		l.head = i
	} else {
		records[l.tail].next = i
	}
	l.tail = i
	l.n++
}

// pop takes the oldest record out if its grace period is over.
func (l *limbo) pop(records []detail, passed uint64) (index uint32, ok bool) {
	if l.n == 0 {
		return 0, false
	}
	d := &records[l.head]
	if tag := uint64(d.stamp)<<32 | uint64(d.prev); tag > passed {
		return 0, false
	}
	index, l.head = l.head, d.next
	l.n--
	return index, true
}
