package fragment

import (
	"math/rand/v2"
	"testing"

	"github.com/afxlb/afxlb/internal/packet"
)

// part returns the place of a part, of which the bytes count by eight.
func part(from, to uint16, last bool) packet.Place {
	return packet.Place{From: from * 8, To: to * 8, Last: last}
}

func TestRuns(t *testing.T) {
	const last = true
	type step struct {
		part packet.Place
		want Outcome
	}
	for name, steps := range map[string][]step{
		"in order":              {{part(0, 2, false), Goes}, {part(2, 4, false), Goes}, {part(4, 5, last), Goes}},
		"backwards":             {{part(4, 5, last), Goes}, {part(2, 4, false), Goes}, {part(0, 2, false), Goes}},
		"the middle comes last": {{part(0, 2, false), Goes}, {part(4, 5, last), Goes}, {part(2, 4, false), Goes}},
		"copies":                {{part(2, 4, false), Goes}, {part(2, 4, false), Copy}, {part(2, 3, false), Copy}, {part(0, 2, false), Goes}, {part(1, 4, false), Copy}, {part(4, 5, last), Goes}},
		"overlap in front":      {{part(2, 4, false), Goes}, {part(1, 3, false), Overlaps}},
		"overlap behind":        {{part(2, 4, false), Goes}, {part(3, 5, false), Overlaps}},
		"overlap of all":        {{part(2, 4, false), Goes}, {part(1, 5, false), Overlaps}},
		"overlap of two":        {{part(0, 2, false), Goes}, {part(3, 4, false), Goes}, {part(2, 5, false), Overlaps}},
		"behind the end":        {{part(2, 4, last), Goes}, {part(4, 5, false), Overlaps}},
		"a second end":          {{part(2, 4, last), Goes}, {part(1, 2, last), Overlaps}},
		"an end in the midst":   {{part(2, 4, false), Goes}, {part(0, 1, last), Overlaps}},
	} {
		t.Run(name, func(t *testing.T) {
			var r runs
			for i, s := range steps {
				if got := r.add(s.part); got != s.want {
					t.Fatalf("step %d: %v is %d, want %d", i, s.part, got, s.want)
				}
			}
			if bad := steps[len(steps)-1].want; r.complete() != (bad == Goes) {
				t.Errorf("complete: %v", r.complete())
			}
		})
	}
}

// What there is too much of is dropped, and what was there stays.
func TestRunsOverflow(t *testing.T) {
	var r runs
	for i := range uint16(maxRuns) {
		if got := r.add(part(10*i, 10*i+1, false)); got != Goes {
			t.Fatalf("run %d: %d", i, got)
		}
	}
	before := r
	if got := r.add(part(5, 6, false)); got != Overflows || r != before {
		t.Errorf("one more: %d", got)
	}
	if got := r.add(part(10*maxRuns, 10*maxRuns+1, true)); got != Overflows || r != before {
		t.Errorf("one more, at the end: %d", got)
	}
	if got := r.add(part(1, 10, false)); got != Goes || r.n != maxRuns-1 {
		t.Errorf("what closes a gap: %d, %d runs", got, r.n)
	}
}

// slowRuns is runs byte by byte.
type slowRuns struct {
	seen [1 << 16]bool
	end  int
}

func (s *slowRuns) add(p packet.Place) Outcome {
	from, to := int(p.From), int(p.To)
	if s.end > 0 && (to > s.end || p.Last && to != s.end) {
		return Overlaps
	}
	if p.Last {
		for _, b := range s.seen[to:] {
			if b {
				return Overlaps
			}
		}
	}
	there := 0
	for _, b := range s.seen[from:to] {
		if b {
			there++
		}
	}
	switch there {
	case 0:
	case to - from:
		return Copy
	default:
		return Overlaps
	}
	for i := from; i < to; i++ {
		s.seen[i] = true
	}
	if p.Last {
		s.end = to
	}
	return Goes
}

func (s *slowRuns) complete() bool {
	for _, b := range s.seen[:s.end] {
		if !b {
			return false
		}
	}
	return s.end > 0
}

func TestRunsAgainstBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	finished := 0
	for range 6000 {
		var fast runs
		var slow slowRuns
		for range r.IntN(40) {
			from := uint16(r.IntN(12)) // so few that there are never too many runs
			p := part(from, from+1+uint16(r.IntN(3)), r.IntN(8) == 0)
			if p.Last {
				p.To -= uint16(r.IntN(8))
			}
			got, want := fast.add(p), slow.add(p)
			if got != want || fast.complete() != slow.complete() {
				t.Fatalf("%v: %d, want %d; complete %v, want %v", p, got, want, fast.complete(), slow.complete())
			}
			if got == Overlaps {
				break
			}
			if fast.complete() {
				finished++
				break
			}
		}
	}
	if finished < 50 {
		t.Errorf("only %d were ever complete", finished)
	}
}
