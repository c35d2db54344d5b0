package fragment

import (
	"sync"

	"github.com/afxlb/afxlb/internal/packet"
)

// shard is a part of a table's datagrams.
type shard struct {
	mu      sync.Mutex
	index   map[Datagram]uint32 // nil: not in use yet
	records []record            // records[none] is the list's head, and no datagram's
	free    []uint32
	held    store
}

// record is one datagram. All are in one list, in the order in which they began.
type record struct {
	datagram   Datagram
	prev, next uint32
	since      uint32 // coarse clock when the first that was seen of it came, ms
	head       Head
	way        Way
	stage      stage
	runs       runs // of what has gone by
}

// none is the number of no record.
const none = 0

// stage is how far a datagram has come.
type stage uint8

const (
	waiting stage = iota // the first fragment has not come
	begun                // it is on its way
	opened               // it has gone, and others may follow
	refused              // they contradict each other
)

// size has the shard take its memory.
func (s *shard) size(datagrams, bytes, slots int) {
	s.index = make(map[Datagram]uint32, datagrams)
	s.records = make([]record, datagrams+1)
	for i := datagrams; i > none; i-- {
		s.free = append(s.free, uint32(i))
	}
	s.held = store{bytes: make([]byte, bytes), slots: make([]slot, slots)}
}

// begin is [Table.Begin].
func (s *shard) begin(d *Datagram, p packet.Place, h Head, now uint32, out *Out) Outcome {
	r := &s.records[s.find(d, now, out)]
	if r.stage == waiting {
		r.head, r.stage = h, begun
	} else if r.head != h {
		r.stage = refused
	}
	return r.note(p)
}

// open is [Table.Open].
func (s *shard) open(d *Datagram, way Way, out *Out) {
	i, ok := s.index[*d]
	if r := &s.records[i]; ok && r.stage == begun {
		r.stage, r.way = opened, way
		s.held.take(i, &out.Ready, &out.Evicted)
	}
}

// follow is [Table.Follow].
func (s *shard) follow(d *Datagram, p packet.Place, frame []byte, port uint8, now uint32, out *Out) (Head, Way, Outcome) {
	i := s.find(d, now, out)
	r := &s.records[i]
	if r.stage == waiting || r.stage == begun {
		s.held.push(frame, port, i, &out.Evicted)
		return Head{}, Way{}, Held
	}
	h, way, o := r.head, r.way, r.note(p)
	if o == Goes && r.runs.complete() {
		o = Completes
	}
	return h, way, o
}

// undo is [Table.Undo].
func (s *shard) undo(d *Datagram, p packet.Place) {
	i, ok := s.index[*d]
	r := &s.records[i]
	if !ok || r.stage == refused {
		return
	}
	r.runs.remove(p)
	if p.From == 0 {
		r.stage = waiting
	}
}

// done is [Table.Done].
func (s *shard) done(d *Datagram) {
	i, ok := s.index[*d]
	if r := &s.records[i]; ok && r.stage == opened && r.runs.complete() {
		s.forget(i)
	}
}

// note takes a fragment into account that is to go by, if it may.
func (r *record) note(p packet.Place) Outcome {
	if r.stage == refused {
		return Overlaps
	}
	o := r.runs.add(p)
	if o == Overlaps {
		r.stage = refused
	}
	return o
}

// find returns the record of d, a new one if there is none.
func (s *shard) find(d *Datagram, now uint32, out *Out) uint32 {
	i, ok := s.index[*d]
	if ok {
		return i
	}
	if len(s.free) == 0 {
		oldest := s.records[none].next
		s.held.take(oldest, nil, &out.Evicted)
		s.forget(oldest)
	}
	i = s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.index[*d] = i
	last := s.records[none].prev
	s.records[i] = record{datagram: *d, since: now, prev: last, next: none}
	s.records[last].next, s.records[none].prev = i, i
	return i
}

// forget removes a record, of which nothing is held any more.
func (s *shard) forget(i uint32) {
	r := &s.records[i]
	s.records[r.prev].next, s.records[r.next].prev = r.next, r.prev
	delete(s.index, r.datagram)
	s.free = append(s.free, i)
}

// ahead bounds by how much a record's time may be ahead of who looks, ms: workers' clocks are
// not quite one. A shard that nobody has used for long may have records of any age, as much as
// a whole round of the clock; to take more of them for new would be not to forget them for days.
const ahead = 60_000

// expire forgets what has had its time, and gives out what is held of it.
func (s *shard) expire(now uint32, out *Out) {
	for {
		i := s.records[none].next
		if age := now - s.records[i].since; i == none || age < Lifetime || -age < ahead {
			return
		}
		s.held.take(i, &out.Overdue, &out.Evicted)
		s.forget(i)
	}
}
