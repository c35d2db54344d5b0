package conntrack

// none is the index of no record.
const none = ^uint32(0)

// list is a doubly linked list of records through Flow.prev and Flow.next,
// oldest inspection first. Guarded by the owning shard's lock.
type list struct {
	head, tail uint32
	n          int
}

func (l *list) push(flows []Flow, i uint32) {
	flows[i].prev, flows[i].next = l.tail, none
	if l.tail == none {
		l.head = i
	} else {
		flows[l.tail].next = i
	}
	l.tail = i
	l.n++
}

func (l *list) remove(flows []Flow, i uint32) {
	prev, next := flows[i].prev, flows[i].next
	if prev == none {
		l.head = next
	} else {
		flows[prev].next = next
	}
	if next == none {
		l.tail = prev
	} else {
		flows[next].prev = prev
	}
	l.n--
}
