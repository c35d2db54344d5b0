package control

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/afxlb/afxlb/bench/result"
)

// Suite is the name under which results are filed.
const Suite = "control"

// Contender is a daemon that is measured.
type Contender struct{ Name, Program string }

// Plan says what to measure, and tells about it.
type Plan struct {
	Field  []Contender // each has its turn in each round
	Scenes []Scene
	Rounds int
	Time   time.Duration // that a figure of CPU time takes
	Quick  bool          // a little of everything

	Progress func(format string, args ...any)
	Sample   func(result.Sample)
	Note     func(string)
}

// Run measures.
func Run(ctx context.Context, p Plan) error {
	at, err := newPlace()
	if err != nil {
		return err
	}
	p.Note(at.String())
	e := effort{time: p.Time, asks: 20, reloads: 3}
	if p.Quick {
		e.asks, e.reloads = 2, 1
	}
	all := echoed{}
	for round := range p.Rounds {
		for _, sc := range p.Scenes {
			for _, c := range p.Field {
				progress := func(what string) {
					p.Progress("round %d of %d, %s, %s: %s", round+1, p.Rounds, sc, c.Name, what)
				}
				progress("starting")
				f, err := p.turn(ctx, c, sc, at, e, progress)
				if err != nil {
					return fmt.Errorf("%s, %s, round %d: %w", sc, c.Name, round+1, err)
				}
				for _, s := range samples(c.Name, sc, f) {
					p.Sample(s)
				}
				all.add(c.Name, sc, f)
			}
			if round == 0 {
				for _, s := range aims(sc) {
					p.Sample(s)
				}
			}
		}
	}
	for _, s := range all.samples(p.Scenes) {
		p.Sample(s)
	}
	return nil
}

func (p *Plan) turn(ctx context.Context, c Contender, sc Scene, at place, e effort, progress func(string)) (f *found, err error) {
	s, err := newStage(ctx, c, sc, at, func(text string) { p.Note(c.Name + ", " + text) })
	if err != nil {
		return nil, err
	}
	f, err = s.turn(ctx, e, progress)
	return f, errors.Join(err, s.close())
}

// Scenes returns the scenes of a full run, the small one first: the large one, and one of
// as many backends a service with a tenth of the services. A quick run has a tiny one.
func Scenes(large Scene, quick bool) []Scene {
	if quick {
		return []Scene{{Services: 12, Backends: 3, Addresses: 4, Interval: 200 * time.Millisecond, Timeout: 100 * time.Millisecond}}
	}
	small := large
	small.Services = max(large.Services/10, 1)
	if small == large {
		return []Scene{large}
	}
	return []Scene{small, large}
}
