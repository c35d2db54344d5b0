package conntrack

// limbo is a queue of removed records that wait for their grace period, oldest
// first. Guarded by the shard's lock.
type limbo struct {
	queue []dead
	first int // of those that still wait
}

// dead is a removed record and the [Grace.tag] of its removal.
type dead struct {
	index uint32
	tag   uint64
}

func (l *limbo) len() int { return len(l.queue) - l.first }

func (l *limbo) push(d dead) { l.queue = append(l.queue, d) }

// pop takes the oldest record out if its grace period is over.
func (l *limbo) pop(passed uint64) (index uint32, ok bool) {
	if l.len() == 0 || l.queue[l.first].tag > passed {
		return 0, false
	}
	index = l.queue[l.first].index
	l.first++
	if 2*l.first >= len(l.queue) { // each record is moved once at most
		l.queue = l.queue[:copy(l.queue, l.queue[l.first:])]
		l.first = 0
	}
	return index, true
}
