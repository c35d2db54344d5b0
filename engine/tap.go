package engine

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/internal/packet"
)

// What XDP takes no tcpdump sees. So workers copy packets for who wants to look at them: as they
// came, and as they left. The rest of a capture is not the workers': they never wait for it,
// and what it does not take in time is a copy less, never a packet less.

// TapConfig says which packets a [Tap] has copies of. The zero value: of all.
type TapConfig struct {
	Snap             int    // bytes of a packet at most; 0: all
	Sample           int    // one packet in so many is looked at, of each worker's
	PerSecond        int    // copies at most; 0: no limit
	Service, Backend string // only packets of theirs, by name
	Verdicts         []packet.Verdict
	// Filter says of a packet as it came, and if it was not this, as it left, whether it is
	// wanted. What was not understood is the zero Packet. Workers call it, several at a time.
	Filter func(p *packet.Packet, frame []byte) bool
	Room   int // bytes of copies that may wait, for each worker; 0: its share of 16 MiB
}

// Captured is one packet of a [Tap]. The bytes are there until the visitor returns.
type Captured struct {
	Time             time.Time // of its batch
	Verdict          packet.Verdict
	Service, Backend string // as far as it is of a flow, or to a service
	Reply            bool   // it came from the backend
	Worker           int
	In, Out          uint8  // ports; Out if it left
	Before, After    []byte // After is nil if it did not leave
	Length, Left     int    // of the whole frames

	end uint64 // of its bytes: see lane
}

// Tap is a capture under way. One goroutine reads it.
type Tap struct {
	engine *Engine
	config TapConfig
	wanted [packet.NumVerdicts]bool
	unsent bool          // wanted are some of those that are not sent after all
	second atomic.Uint32 // when it began, ms
	taken  atomic.Int64  // in this second
	over   atomic.Uint64

	mu    sync.Mutex // as workers come
	lanes []*lane
}

const (
	// maxTaps bounds how many captures there are at a time: each costs the workers as much again.
	maxTaps = 4
	// tapRoom is what the copies of all workers may take that wait, bytes.
	tapRoom = 16 << 20
	// TapMemory is what a capture takes of memory: the copies, and a note of each.
	TapMemory = 28 << 20
)

// ErrTapped says that there are as many captures as there may be.
var ErrTapped = fmt.Errorf("%d captures are under way, and there are no more at a time", maxTaps)

// Tap begins a capture, which ends with [Tap.Close].
func (e *Engine) Tap(c TapConfig) (*Tap, error) {
	e.changing.Lock()
	defer e.changing.Unlock()
	if len(e.taps) == maxTaps {
		return nil, ErrTapped
	}
	c.Sample, c.Room = max(c.Sample, 1), cmp.Or(c.Room, max(tapRoom/max(len(e.workers), 1), 256<<10))
	t := &Tap{engine: e, config: c}
	for _, v := range c.Verdicts {
		t.wanted[v] = true
	}
	for v := range t.wanted {
		t.wanted[v] = t.wanted[v] || len(c.Verdicts) == 0
	}
	t.unsent = t.wanted[packet.DropTxFull] || t.wanted[packet.DropLinkDown] || t.wanted[packet.DropTooBig]
	e.taps = append(e.taps, t)
	for i := range e.workers {
		t.lane(i)
	}
	tell(e.workers, e.alarm(), func(w *worker) { w.taps = append(w.taps, t.lanes[w.id]) })
	return t, nil
}

// Taps returns how many captures are under way.
func (e *Engine) Taps() int {
	e.changing.Lock()
	defer e.changing.Unlock()
	return len(e.taps)
}

// Close ends the capture. What was not read is lost.
func (t *Tap) Close() {
	e := t.engine
	e.changing.Lock()
	defer e.changing.Unlock()
	i := slices.Index(e.taps, t)
	if i < 0 {
		return
	}
	e.taps = slices.Delete(e.taps, i, i+1)
	tell(e.workers, e.alarm(), func(w *worker) {
		w.taps = slices.DeleteFunc(w.taps, func(l *lane) bool { return l.tap == t })
	})
}

// Read visits what there is, in each worker's order, until visit returns false. It does not wait.
func (t *Tap) Read(visit func(*Captured) bool) {
	for _, l := range t.list() {
		if !l.read(visit) {
			return
		}
	}
}

// TapStats is what became of the copies that were wanted.
type TapStats struct {
	Taken   uint64 // there to be read, or read
	Dropped uint64 // not made: who reads is too slow
	Limited uint64 // not made: they were more a second than wanted
}

// Stats may be called by anybody.
func (t *Tap) Stats() (s TapStats) {
	for _, l := range t.list() {
		s.Taken += l.taken.Load()
		s.Dropped += l.lost.Load()
	}
	s.Limited = t.over.Load()
	return s
}

func (t *Tap) list() []*lane {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.lanes
}

// allows reports whether one more is within the limit of a second, at a time of the workers'
// clock in ms. A second begins with the first packet that is not in the one before, so that a capture
// of a second has no more. Workers' clocks are not quite one: at the border there may be some more.
func (t *Tap) allows(now uint32) bool {
	if t.config.PerSecond == 0 {
		return true
	}
	if since := int32(now - t.second.Load()); since >= 1000 || since < -1000 { // -1 is another worker's
		t.second.Store(now)
		t.taken.Store(0)
	}
	if t.taken.Add(1) > int64(t.config.PerSecond) {
		t.over.Add(1)
		return false
	}
	return true
}
