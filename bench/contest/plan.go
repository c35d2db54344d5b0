package contest

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/afxlb/afxlb/bench/result"
)

// Plan says what to measure, and tells about it.
type Plan struct {
	Field  []Contender
	Only   *regexp.Regexp // contenders; nil: all
	Rounds int
	Time   time.Duration // of a measurement; each suite says of which

	Progress func(format string, args ...any)
	Sample   func(result.Sample)
	Note     func(string)
}

// pick returns the contenders that were asked for and that belong to a suite. The
// straight wire always does: the others are held against it.
func (p *Plan) pick(fits func(Contender) bool) (field []Contender, err error) {
	others := 0
	for _, c := range p.Field {
		asked := p.Only == nil || p.Only.MatchString(c.Name)
		if c.start != nil && fits(c) && asked {
			others++
		}
		if c.start == nil || fits(c) && asked {
			field = append(field, c)
		}
	}
	if others == 0 {
		return nil, fmt.Errorf("none of those who can take part matches %q", p.Only)
	}
	return field, nil
}

// rounds has each contender on the stage once a round.
func (p *Plan) rounds(ctx context.Context, field []Contender, a arrival, act func(context.Context, *stage, int) error) error {
	place, err := newPlace()
	if err != nil {
		return err
	}
	p.Note(place.String())
	for round := range p.Rounds {
		for i := range field {
			c := &field[i]
			p.Progress("round %d of %d, %s", round+1, p.Rounds, c.Name)
			if err := p.turn(ctx, c, place, a, round, act); err != nil {
				return fmt.Errorf("%s, round %d: %w", c.Name, round+1, err)
			}
		}
	}
	return nil
}

func (p *Plan) turn(ctx context.Context, c *Contender, at place, a arrival, round int, act func(context.Context, *stage, int) error) error {
	s, err := newStage(ctx, c, at, a)
	if err != nil {
		return err
	}
	err = act(ctx, s, round)
	if closed := s.close(); err == nil {
		err = closed // else what went wrong first tells more
	}
	return err
}
