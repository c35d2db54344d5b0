package engine

import (
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/internal/packet"
)

// lane is one worker's part of a [Tap]: a ring of copies that the worker writes and the
// capture's goroutine reads, and what the worker has of the batch that it is at.
type lane struct {
	tap    *Tap
	worker int
	slots  []Captured
	bytes  []byte // of the copies, as a ring: each is in one piece

	lost, taken atomic.Uint64
	tail        atomic.Uint64 // slots that were written; the worker's
	head        atomic.Uint64 // slots that were read; the reader's
	freed       atomic.Uint64 // bytes that were read, counted as at

	// The worker's own.

	skip   int           // packets until the next one of the sample
	parsed packet.Packet // for the filter, which may keep hold of it no longer than it runs
	staged []staged      // of this batch
	stage  []byte        // as they came
	at     uint64        // bytes that were ever written; modulo their number it is the place
	began  uint64        // at, when this batch began
	queued []int         // which packets are in the slots behind tail, until the batch is sent
}

// staged is a packet as it came.
type staged struct {
	i, from, n int // which it is in the batch, and where its bytes are
	length     int
	wanted     bool // by the filter
}

// stageRoom is what a batch may have of bytes as they came: 128 large frames. Of jumbo frames fewer
// are captured at a time.
const stageRoom = batchSize * 2048

// slotShare is for how many bytes of room there is a slot: copies are of small packets as a rule.
const slotShare = 256

// lane makes a worker's part of the capture.
func (t *Tap) lane(worker int) *lane {
	l := &lane{
		tap: t, worker: worker, slots: make([]Captured, max(t.config.Room/slotShare, batchSize)), bytes: make([]byte, t.config.Room),
		stage: make([]byte, 0, stageRoom), staged: make([]staged, 0, batchSize), queued: make([]int, 0, batchSize),
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lanes = append(t.lanes[:len(t.lanes):len(t.lanes)], l) // who reads the list has the old one
	return l
}

// tapped has captures look at a batch of n packets as they came.
//
//go:noinline
func (w *worker) tapped(n int) {
	for _, l := range w.taps {
		l.look(w, n)
	}
}

// sendTapped is send while captures are under way.
//
//go:noinline
func (w *worker) sendTapped(n int) error {
	now := time.Time{}
	for _, l := range w.taps {
		l.keep(w, &now)
	}
	err := w.emit(n)
	for _, l := range w.taps {
		l.publish(w)
	}
	return err
}

// look copies packets of a batch of n as they came: those that the sample has.
func (l *lane) look(w *worker, n int) {
	c, umem := &l.tap.config, w.socket.UMEM()
	l.stage, l.staged = l.stage[:0], l.staged[:0]
	for ; l.skip < n; l.skip += c.Sample {
		frame := umem.Frame(w.descs[l.skip])
		s := staged{i: l.skip, from: len(l.stage), n: l.cut(frame), length: len(frame), wanted: c.Filter == nil}
		if len(l.stage)+s.n > cap(l.stage) {
			l.lost.Add(1)
			continue
		}
		s.wanted = s.wanted || l.passes(frame)
		l.stage = append(l.stage, frame[:s.n]...)
		l.staged = append(l.staged, s)
	}
	l.skip -= n
}

// cut returns how much of a frame is copied.
func (l *lane) cut(frame []byte) int {
	if snap := l.tap.config.Snap; snap != 0 {
		return min(snap, len(frame))
	}
	return len(frame)
}

// passes asks the filter.
func (l *lane) passes(frame []byte) bool {
	p := &l.parsed
	p.TCPFlags = 0 // those of a fragment are not read
	if v := packet.Parse(frame, p); v != packet.Pending && v != packet.DropICMP && v != packet.DropFragment {
		*p = packet.Packet{}
	}
	return l.tap.config.Filter(p, frame)
}

// keep copies the wanted ones of a batch's packets, as they are about to leave. The time is read
// once a batch, when the first one needs it.
func (l *lane) keep(w *worker, now *time.Time) {
	l.began = l.at
	l.queued = l.queued[:0]
	for k := range l.staged {
		s := &l.staged[k]
		// What is under way still will be received once more.
		if v := w.verdicts[s.i]; v == packet.Pending || !l.tap.wanted[v] && !(l.tap.unsent && v.Leaves()) {
			continue
		}
		var after []byte
		if w.verdicts[s.i].Leaves() {
			after = w.socket.UMEM().Frame(w.descs[s.i])
		}
		if !s.wanted && (after == nil || !l.passes(after)) {
			continue
		}
		var who Captured
		if !l.names(w, s.i, &who) || !l.tap.allows(w.now) {
			continue
		}
		if now.IsZero() {
			*now = time.Now()
		}
		who.Time = *now
		l.queue(w, s, who, after)
	}
}

// names says whose packet i is, and whether that is wanted.
func (l *lane) names(w *worker, i int, who *Captured) bool {
	c := &l.tap.config
	if o := w.outcome(i); o.To {
		ref := &w.table.Refs[o.Backend]
		who.Service, who.Backend, who.Reply = ref.Service, ref.Backend, o.Direction != 0
	} else {
		p := w.packets[i]
		if v := w.verdicts[i]; !v.IsDrop() || packet.Parse(w.frames[i], &p) == packet.Pending {
			if s := w.table.Lookup(&p.Key); s != nil {
				who.Service = s.Name
			}
		}
	}
	return (c.Service == "" || c.Service == who.Service) && (c.Backend == "" || c.Backend == who.Backend)
}

// queue copies a packet that is about to be sent, or dropped, if there is room.
func (l *lane) queue(w *worker, s *staged, c Captured, after []byte) {
	c.Worker, c.In, c.Out, c.Verdict, c.Length, c.Left = l.worker, w.port, w.port, w.verdicts[s.i], s.length, len(after)
	if by := w.across.egress[s.i]; by != 0 {
		c.Out = by - 1
	}
	after = after[:l.cut(after)]
	room, need := uint64(len(l.bytes)), uint64(s.n+len(after))
	at := l.at
	if rest := room - at%room; rest < need {
		at += rest
	}
	slot := l.tail.Load() + uint64(len(l.queued))
	if need > room || at+need-l.freed.Load() > room || slot-l.head.Load() == uint64(len(l.slots)) {
		l.lost.Add(1)
		return
	}
	to := l.bytes[at%room:][:need:need]
	copy(to[copy(to, l.stage[s.from:][:s.n]):], after)
	l.at = at + need
	c.Before, c.After, c.end = to[:s.n:s.n], to[s.n:], l.at
	l.slots[slot%uint64(len(l.slots))] = c
	l.queued = append(l.queued, s.i)
}

// publish lets the reader have the copies of a batch that was sent. Of those that were not
// sent after all there is none as they left.
func (l *lane) publish(w *worker) {
	tail, kept := l.tail.Load(), uint64(0)
	l.at = l.began
	for k, i := range l.queued {
		c := l.slots[(tail+uint64(k))%uint64(len(l.slots))]
		c.Verdict = w.verdicts[i]
		if !l.tap.wanted[c.Verdict] {
			continue
		}
		if !c.Verdict.Leaves() {
			c.After, c.Left = nil, 0
		}
		l.slots[(tail+kept)%uint64(len(l.slots))] = c
		l.at = c.end
		kept++
	}
	l.taken.Add(kept)
	l.tail.Store(tail + kept)
}

// read visits what was written, until visit returns false, which it does too then.
func (l *lane) read(visit func(*Captured) bool) bool {
	head, tail := l.head.Load(), l.tail.Load()
	for ; head != tail; head++ {
		c := &l.slots[head%uint64(len(l.slots))]
		more := visit(c)
		l.freed.Store(c.end)
		l.head.Store(head + 1)
		if !more {
			return false
		}
	}
	return true
}
