package conntrack

// none is the index of no record.
const none = ^uint32(0)

// list is a doubly linked list of records through detail.prev and detail.next,
// oldest inspection first. Guarded by the owning shard's lock.
type list struct {
	head, tail uint32
	n          int
}

func (l *list) push(records []detail, i uint32) {
	records[i].prev, records[i].next = l.tail, none
	if l.tail == none {
		l.head = i
	} else {
		records[l.tail].next = i
	}
	l.tail = i
	l.n++
}

func (l *list) remove(records []detail, i uint32) {
	prev, next := records[i].prev, records[i].next
	if prev == none {
		l.head = next
	} else {
		records[prev].next = next
	}
	if next == none {
		l.tail = prev
	} else {
		records[next].prev = prev
	}
	l.n--
}

// renew moves record i to the tail, inspected now.
func (l *list) renew(records []detail, i, now uint32) {
	l.remove(records, i)
	records[i].stamp = now
	l.push(records, i)
}
