package fragment

import (
	"bytes"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/testutil"
)

const port = 3

var (
	one  = Datagram{ID: 1, Proto: 17}
	head = Head{SrcPort: 40000, DstPort: 53, Proto: 17}
	way  = Way{Verdict: packet.Forwarded, Flow: 7, ID: 9, Renamed: true}
)

// What came before the first fragment comes out when that has gone by, and in its order.
func TestHeldComeOut(t *testing.T) {
	x := New(0)
	var mine, yours Out
	for i, frame := range []string{"third", "second"} {
		if _, _, o := x.Follow(&one, part(uint16(4-2*i), uint16(6-2*i), i == 0), []byte(frame), port, 0, &yours); o != Held {
			t.Fatalf("%s: %d", frame, o)
		}
	}
	if x.Held() != 2 {
		t.Errorf("%d are held", x.Held())
	}
	if o := x.Begin(&one, part(0, 2, false), head, 10, &mine); o != Goes {
		t.Fatalf("the first: %d", o)
	}
	// While the first one is on its way, nobody could follow.
	if _, _, o := x.Follow(&one, part(6, 8, false), []byte("meanwhile"), port, 10, &yours); o != Held {
		t.Errorf("meanwhile: %d", o)
	}
	x.Open(&one, way, 10, &mine)
	if got := drain(&mine.Ready); len(got) != 3 || string(bytes.Join(got, nil)) != "thirdsecondmeanwhile" {
		t.Errorf("ready: %q", got)
	}
	if x.Held() != 0 || yours.Ready.Len() != 0 {
		t.Errorf("%d are held, and the other worker has %d", x.Held(), yours.Ready.Len())
	}
	if h, to, o := x.Follow(&one, part(2, 4, false), nil, port, 10, &yours); h != head || to != way || o != Goes {
		t.Errorf("the second: %v, %v, %d", h, to, o)
	}
}

// A datagram that is complete is forgotten, so that its name is free for the next one.
func TestCompleteIsForgotten(t *testing.T) {
	x := New(0)
	var out Out
	for i := range uint16(3) {
		h := head
		h.SrcPort += i
		if o := x.Begin(&one, part(0, 2, false), h, 0, &out); o != Goes {
			t.Fatalf("datagram %d: %d", i, o)
		}
		x.Open(&one, way, 0, &out)
		if got, _, o := x.Follow(&one, part(2, 3, true), nil, port, 0, &out); got != h || o != Completes {
			t.Fatalf("datagram %d: its second fragment is %d, by %v", i, o, got)
		}
		x.Done(&one, 0, &out)
	}
}

// Whoever guesses another's datagram can spoil it, and lead it nowhere.
func TestForgedFirstFragment(t *testing.T) {
	x := New(0)
	var out Out
	forged := head
	forged.SrcPort++
	x.Begin(&one, part(0, 2, false), forged, 0, &out)
	x.Open(&one, way, 0, &out)
	if o := x.Begin(&one, part(0, 2, false), head, 0, &out); o != Overlaps {
		t.Errorf("a first one that says something else: %d", o)
	}
	x.Open(&one, way, 0, &out)
	if _, _, o := x.Follow(&one, part(2, 3, true), nil, port, 0, &out); o != Overlaps {
		t.Errorf("what followed it: %d", o)
	}
	other := one
	other.ID++
	if x.Begin(&other, part(0, 2, false), head, 0, &out) != Goes {
		t.Error("the next datagram does not go")
	}
}

// What is held is overdue after its time, and not before, and the datagram is a new one then.
func TestLifetime(t *testing.T) {
	x := New(0)
	var out Out
	const begin = 1<<32 - 1000 // the clock comes round
	now := uint32(begin)
	x.Follow(&one, part(2, 3, true), []byte("late"), port, now, &out)
	x.Expire(now-3, &out) // by the clock of another worker
	x.Expire(now+Lifetime-1, &out)
	if out.Overdue.Len() != 0 {
		t.Error("overdue before its time")
	}
	x.Expire(now+Lifetime, &out)
	if got := drain(&out.Overdue); len(got) != 1 || string(got[0]) != "late" {
		t.Errorf("overdue: %q", got)
	}
	now += Lifetime
	x.Begin(&one, part(0, 2, false), head, now, &out)
	x.Open(&one, way, now, &out)
	if out.Ready.Len() != 0 || x.Held() != 0 {
		t.Error("it comes out twice")
	}
	if _, _, o := x.Follow(&one, part(2, 3, true), nil, port, now+Lifetime, &out); o != Held {
		t.Errorf("a head is known for longer than its time: %d", o)
	}
}

// A shard may stand still for days, for longer than half a round of the clock: then all that it
// remembers is old, and what comes now has its own time.
func TestLifetimeOfALongSilence(t *testing.T) {
	for _, days := range []uint32{1, 20, 30, 49} {
		x := New(0)
		var out Out
		x.Begin(&one, part(0, 2, false), head, 0, &out)
		x.Open(&one, way, 0, &out)
		now := days * 24 * 3600 * 1000
		if _, _, o := x.Follow(&one, part(2, 3, true), []byte("another's"), port, now, &out); o != Held {
			t.Errorf("after %d days: %d", days, o)
		}
		x.Expire(now+Lifetime, &out)
		if got := drain(&out.Overdue); len(got) != 1 || x.Held() != 0 {
			t.Errorf("after %d days: overdue %q, held %d", days, got, x.Held())
		}
	}
}

// What strangers fill up takes no more than its room, and what is new is held all the same.
func TestOldestGoesFirst(t *testing.T) {
	for name, c := range map[string]struct{ datagrams, size, frames int }{
		"of bytes":     {1, 1500, 10_000},
		"of frames":    {1, 60, 10_000},
		"of datagrams": {10_000, 60, 10_000},
		"of a datagram that no shard has room for": {1, bytesPerShard + 1, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var s shard
			s.size(perShard, bytesPerShard, heldPerShard)
			var out Out
			frame := make([]byte, c.size)
			for i := range c.frames {
				d := Datagram{ID: uint32(i % c.datagrams)}
				s.follow(&d, part(2, 3, true), frame, port, 0, &out)
				if held := s.held.live; held+int(out.Evicted.Frames) != i+1 || len(s.index) > perShard {
					t.Fatalf("after %d: %d held, %d evicted, %d datagrams", i+1, held, out.Evicted.Frames, len(s.index))
				}
			}
			want := min(bytesPerShard/c.size, heldPerShard)
			if got := s.held.live; got < want-1 || got > want {
				t.Errorf("%d are held, want %d", got, want)
			}
			if out.Evicted.Bytes != out.Evicted.Frames*uint64(c.size) {
				t.Errorf("evicted %+v of %d bytes each", out.Evicted, c.size)
			}
			mine := Datagram{ID: 1 << 20}
			s.follow(&mine, part(2, 3, true), []byte("mine"), port, 0, &out)
			s.begin(&mine, part(0, 2, false), head, 0, &out)
			s.open(&mine, way, &out)
			if got := drain(&out.Ready); len(got) != 1 || string(got[0]) != "mine" {
				t.Errorf("ready: %q", got)
			}
		})
	}
}

// A queue that nobody empties has a bound, too.
func TestQueueIsBounded(t *testing.T) {
	var f Frames
	n := 0
	for f.push(make([]byte, 1000), port) {
		n++
	}
	if n != maxQueued/1000 || f.Len() != n {
		t.Errorf("%d frames of a queue of %d", f.Len(), n)
	}
	if got := drain(&f); len(got) != n || !f.push([]byte("room"), port) {
		t.Errorf("%d came out, and there is room: %v", len(got), f.Len())
	}
}

// All of it takes less than 4 MB, however much comes, and nothing before that.
func TestMemory(t *testing.T) {
	before := testutil.LiveHeap()
	x := New(0)
	if took := testutil.LiveHeap() - before; took > 1<<16 {
		t.Errorf("an empty table takes %d bytes", took)
	}
	var out Out
	frame := make([]byte, 1500)
	for i := range uint32(50_000) {
		x.Follow(&Datagram{ID: i}, part(2, 3, true), frame, port, 0, &out)
	}
	if took := testutil.LiveHeap() - before; took > 4<<20 {
		t.Errorf("a full table takes %d bytes", took)
	}
	if n := x.Held(); n < 1000 || n+int(out.Evicted.Frames) != 50_000 {
		t.Errorf("%d are held, %d evicted", n, out.Evicted.Frames)
	}
	runtime.KeepAlive(x)
}

// Once the table is in use nothing allocates.
func TestNoAllocations(t *testing.T) {
	x := New(0)
	var out Out
	frame := make([]byte, 1500)
	id := uint32(0)
	once := func() {
		id++
		d := Datagram{ID: id}
		x.Follow(&d, part(2, 3, true), frame, port, id/10, &out)
		x.Begin(&d, part(0, 2, false), head, id/10, &out)
		x.Open(&d, way, id/10, &out)
		for out.Ready.Next() != nil {
		}
		x.Follow(&Datagram{ID: id ^ 1<<20}, part(2, 3, true), frame, port, id/10, &out)
		x.Expire(id/10, &out)
	}
	for range 20_000 {
		once()
	}
	if n := testing.AllocsPerRun(1000, once); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Fragments of one packet come by several queues, in whatever order: each goes once, but
// those that there was no room to hold while the first one was behind.
func TestWorkersAtOnce(t *testing.T) {
	x := New(0)
	const workers, datagrams, parts = 4, 500, 8
	went := make([]map[string]int, workers)
	var evicted [workers]uint64
	var wg sync.WaitGroup
	for w := range workers {
		went[w] = map[string]int{}
		wg.Go(func() {
			var out Out
			take := func() {
				for f := out.Ready.Next(); f != nil; f = out.Ready.Next() {
					went[w][string(f)]++
				}
			}
			for i := range uint32(datagrams) {
				d := Datagram{ID: i}
				for n := uint16(w); n < parts; n += workers {
					name := fmt.Sprint(i, ".", n)
					if n == 0 {
						x.Begin(&d, part(0, 1, false), head, 0, &out)
						went[w][name]++
						x.Open(&d, way, 0, &out)
					} else if h, _, o := x.Follow(&d, part(n, n+1, n == parts-1), []byte(name), port, 0, &out); o <= Completes && h == head {
						went[w][name]++
					} else if o != Held {
						t.Errorf("%s: %d", name, o)
					}
					take()
				}
			}
			evicted[w] = out.Evicted.Frames
		})
	}
	wg.Wait()
	all := map[string]int{}
	for _, m := range went {
		for name, n := range m {
			all[name] += n
		}
	}
	lost := 0
	for _, n := range evicted {
		lost += int(n)
	}
	if len(all)+lost != datagrams*parts || len(all) == 0 || x.Held() != 0 {
		t.Errorf("%d of %d fragments went, %d had to go, %d are held", len(all), datagrams*parts, lost, x.Held())
	}
	for name, n := range all {
		if n != 1 {
			t.Errorf("%s went %d times", name, n)
		}
	}
}

// FuzzShard has any sequence of fragments come, and holds what must always be true.
func FuzzShard(f *testing.F) {
	f.Add([]byte{0, 0, 2, 0, 1, 2, 4, 1})
	f.Add([]byte{4, 1, 2, 4, 0, 0, 0, 2, 8, 0, 0, 2})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var s shard
		s.size(4, 200, 8)
		var out Out
		now, came, gone := uint32(0), 0, 0
		for ; len(steps) >= 4; steps = steps[4:] {
			now += uint32(steps[0]>>4) * 400
			d := Datagram{ID: uint32(steps[0] & 7)}
			p := packet.Place{From: uint16(steps[1]) * 8, Last: steps[3]&1 != 0}
			p.To = p.From + 1 + uint16(steps[2])*8
			s.expire(now, &out)
			switch {
			case steps[1] == 0:
				s.begin(&d, p, Head{SrcPort: uint16(steps[3])}, now, &out)
			case steps[3]&2 != 0:
				s.open(&d, way, &out)
			case steps[3]&4 != 0:
				s.undo(&d, p)
			case steps[3]&8 != 0:
				s.done(&d)
			default:
				if _, _, o := s.follow(&d, p, steps[:1+steps[2]%4], port, now, &out); o == Held {
					came++
				}
			}
			gone += len(drain(&out.Ready)) + len(drain(&out.Overdue))
			if s.held.live+gone+int(out.Evicted.Frames) != came {
				t.Fatalf("%d were held: %d are, %d came out, %d were evicted", came, s.held.live, gone, out.Evicted.Frames)
			}
			checkShard(t, &s)
		}
	})
}

// checkShard holds the list, the index and the free records against each other.
func checkShard(t *testing.T, s *shard) {
	t.Helper()
	n, last := 0, uint32(none)
	for i := s.records[none].next; i != none; i = s.records[i].next {
		if at, ok := s.index[s.records[i].datagram]; !ok || at != i || s.records[i].prev != last {
			t.Fatalf("record %d: %d in the index, behind %d", i, at, s.records[i].prev)
		}
		n, last = n+1, i
	}
	if n != len(s.index) || n+len(s.free) != len(s.records)-1 {
		t.Fatalf("%d in the list, %d in the index, %d free of %d", n, len(s.index), len(s.free), len(s.records)-1)
	}
	if used := s.held.next - s.held.first; used > uint64(len(s.held.slots)) {
		t.Fatalf("%d slots are used of %d", used, len(s.held.slots))
	}
}

// A frame keeps the port that it came by.
func TestPortOfAFrame(t *testing.T) {
	x := New(0)
	var out Out
	for i := range uint16(3) {
		x.Follow(&one, part(2+i, 3+i, false), []byte{byte(i)}, uint8(i), 0, &out)
	}
	x.Begin(&one, part(0, 2, false), head, 0, &out)
	x.Open(&one, way, 0, &out)
	for i := range uint8(3) {
		if port := out.Ready.Port(); port != i || out.Ready.Next()[0] != i {
			t.Errorf("frame %d came by port %d", i, port)
		}
	}
}

// All identifications come before one comes again, whoever asks.
func TestNewID(t *testing.T) {
	x := New(0)
	var seen [1 << 16]atomic.Uint32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range len(seen) / 4 {
				seen[x.NewID()].Add(1)
			}
		})
	}
	wg.Wait()
	for id := range seen {
		if n := seen[id].Load(); n != 1 {
			t.Fatalf("%d was given %d times", id, n)
		}
	}
}

// A fragment that is cut comes once more, in pieces, and is not taken for a copy of itself;
// the others wait for a first one again.
func TestUndo(t *testing.T) {
	x := New(0)
	var out Out
	first, last := part(0, 4, false), part(4, 7, true)
	x.Begin(&one, first, head, 0, &out)
	x.Undo(&one, first, 0, &out)
	x.Open(&one, way, 0, &out)
	if _, _, o := x.Follow(&one, last, []byte("last"), port, 0, &out); o != Held {
		t.Errorf("behind a first one that was cut: %d", o)
	}
	if o := x.Begin(&one, part(0, 2, false), head, 0, &out); o != Goes {
		t.Errorf("its first piece: %d", o)
	}
	x.Open(&one, way, 0, &out)
	if got := drain(&out.Ready); len(got) != 1 {
		t.Errorf("%d are ready", len(got))
	}
	goes := func(what string, p packet.Place, want Outcome) {
		t.Helper()
		if _, _, o := x.Follow(&one, p, nil, port, 0, &out); o != want {
			t.Errorf("%s: %d, want %d", what, o, want)
		}
	}
	goes("the rest of the first", part(2, 4, false), Goes)
	goes("the last", last, Completes)
	x.Undo(&one, last, 0, &out)
	goes("the last one's first piece", part(4, 6, false), Goes)
	goes("a second time", part(4, 6, false), Copy)
	goes("behind the end, which is known still", part(7, 8, true), Overlaps)
	other := Datagram{ID: 2}
	x.Undo(&other, last, 0, &out) // of nobody
	x.Done(&other, 0, &out)
	x.Done(&one, 0, &out)
	if o := x.Begin(&one, first, head, 0, &out); o != Overlaps {
		t.Errorf("what is refused: %d", o)
	}
}
