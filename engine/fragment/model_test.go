package fragment

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// model is a shard in the slow and obvious way, but for the room for bytes.
type model struct {
	datagrams, slots int
	list             []*modelDatagram // the oldest first
	held             []modelFrame
	evicted          int
}

type modelDatagram struct {
	name  Datagram
	since uint32
	stage stage
	head  Head
	runs  slowRuns
}

type modelFrame struct {
	of    *modelDatagram
	bytes []byte
}

func (m *model) find(d Datagram, now uint32) *modelDatagram {
	if i := slices.IndexFunc(m.list, func(x *modelDatagram) bool { return x.name == d }); i >= 0 {
		return m.list[i]
	}
	if len(m.list) == m.datagrams {
		m.evicted += len(m.take(m.list[0]))
		m.list = m.list[1:]
	}
	x := &modelDatagram{name: d, since: now}
	m.list = append(m.list, x)
	return x
}

// take removes what is held of x and returns it.
func (m *model) take(x *modelDatagram) (frames [][]byte) {
	m.held = slices.DeleteFunc(m.held, func(f modelFrame) bool {
		if f.of == x {
			frames = append(frames, f.bytes)
		}
		return f.of == x
	})
	return frames
}

func (m *model) forget(x *modelDatagram) {
	m.list = slices.DeleteFunc(m.list, func(y *modelDatagram) bool { return x == y })
}

func (m *model) expire(now uint32) (overdue [][]byte) {
	for len(m.list) > 0 && now-m.list[0].since >= Lifetime {
		overdue = append(overdue, m.take(m.list[0])...)
		m.list = m.list[1:]
	}
	return overdue
}

func (m *model) note(x *modelDatagram, p packet.Place) Outcome {
	o := Overlaps
	if x.stage != refused {
		o = x.runs.add(p)
	}
	if o == Overlaps {
		x.stage = refused
	}
	return o
}

func (m *model) begin(d Datagram, p packet.Place, h Head, now uint32) Outcome {
	x := m.find(d, now)
	if x.stage == waiting {
		x.head, x.stage = h, begun
	} else if x.head != h {
		x.stage = refused
	}
	return m.note(x, p)
}

func (m *model) open(d Datagram) (ready [][]byte) {
	for _, x := range m.list {
		if x.name == d && x.stage == begun {
			x.stage = opened
			ready = m.take(x)
			break
		}
	}
	return ready
}

func (m *model) follow(d Datagram, p packet.Place, frame []byte, now uint32) (Head, Outcome) {
	x := m.find(d, now)
	if x.stage == waiting || x.stage == begun {
		if len(m.held) == m.slots {
			m.held = m.held[1:]
			m.evicted++
		}
		m.held = append(m.held, modelFrame{x, bytes.Clone(frame)})
		return Head{}, Held
	}
	o := m.note(x, p)
	if o == Goes && x.runs.complete() {
		o = Completes
	}
	return x.head, o
}

func (m *model) undo(d Datagram, p packet.Place) {
	for _, x := range m.list {
		if x.name == d && x.stage != refused {
			clear(x.runs.seen[p.From:p.To])
			if p.From == 0 {
				x.stage = waiting
			}
		}
	}
}

func (m *model) done(d Datagram) {
	for _, x := range m.list {
		if x.name == d && x.stage == opened && x.runs.complete() {
			m.forget(x)
			break
		}
	}
}

// drain empties a queue.
func drain(f *Frames) (list [][]byte) {
	for frame := f.Next(); frame != nil; frame = f.Next() {
		list = append(list, bytes.Clone(frame))
	}
	return list
}

// The shard says what the model says, whatever comes in whatever order. A slot of a frame
// that was given out is used again when it is the oldest, so the model has as many as
// are never short, and TestOldestGoesFirst has them short.
func TestShardAgainstModel(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 3))
		var s shard
		s.size(6, 1<<20, 4096)
		m := &model{datagrams: 6, slots: 4096}
		var out Out
		now := uint32(1<<32 - 20000) // the clock comes round
		for range 3000 {
			if now += uint32(r.IntN(80)); r.IntN(40) == 0 {
				now += Lifetime / 2
			}
			d := Datagram{ID: uint32(r.IntN(8))}
			h := Head{SrcPort: uint16(r.IntN(20) / 19), Proto: 17}
			from := uint16(r.IntN(4))
			p := part(from, from+1, from == 3)
			if r.IntN(12) == 0 {
				p.To += 8
			}
			s.expire(now, &out)
			overdue := m.expire(now)
			var ready [][]byte
			switch {
			case from == 0:
				p.Last = false
				got, want := s.begin(&d, p, h, now, &out), m.begin(d, p, h, now)
				if got != want {
					t.Fatalf("begin: %d, want %d", got, want)
				}
				seen[fmt.Sprint("begin ", got)]++
				if got == Goes && r.IntN(8) == 0 {
					s.undo(&d, p)
					m.undo(d, p)
				} else if r.IntN(3) > 0 {
					s.open(&d, way, &out)
					ready = m.open(d)
				}
			case r.IntN(20) == 0:
				s.open(&d, way, &out)
				ready = m.open(d)
			default:
				frame := fmt.Appendf(nil, "%d", r.Uint64())
				h, _, got := s.follow(&d, p, frame, port, now, &out)
				want, o := m.follow(d, p, frame, now)
				if got != o || got <= Completes && h != want {
					t.Fatalf("follow: %d %v, want %d %v", got, h, o, want)
				}
				switch {
				case got <= Completes && r.IntN(8) == 0:
					s.undo(&d, p)
					m.undo(d, p)
				case got == Completes:
					s.done(&d)
					m.done(d)
				}
				seen[fmt.Sprint("follow ", got)]++
			}
			same := func(what string, got, want [][]byte) {
				if !slices.EqualFunc(got, want, bytes.Equal) {
					t.Fatalf("%s: %q, want %q", what, got, want)
				}
				seen[what] += len(got)
			}
			same("ready", drain(&out.Ready), ready)
			same("overdue", drain(&out.Overdue), overdue)
			if int(out.Evicted.Frames) != m.evicted || s.held.live != len(m.held) || len(s.index) != len(m.list) {
				t.Fatalf("%d evicted, want %d; %d held, want %d; %d datagrams, want %d",
					out.Evicted.Frames, m.evicted, s.held.live, len(m.held), len(s.index), len(m.list))
			}
		}
		seen["evicted"] += m.evicted
	}
	for _, what := range []string{"begin 0", "begin 3", "begin 4", "follow 0", "follow 1", "follow 2", "follow 3", "follow 4", "ready", "overdue", "evicted"} {
		if seen[what] < 20 {
			t.Errorf("%s: only %d times", what, seen[what])
		}
	}
}
