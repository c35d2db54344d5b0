package contest

import (
	"context"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/afxlb/afxlb/bench/ends"
	"github.com/afxlb/afxlb/bench/result"
)

// LatencySuite is the suite's name.
const LatencySuite = "latency"

// loadSockets is how many flows the load has.
const loadSockets = 16

// Latency measures how long answers take: 64 bytes go and come back, one question at a
// time, on an idle wire and beside a load. The load is open-loop, at half of what this
// contender, with these ends, answers at most; that is measured just before, over as
// many flows as the load has. p.Time is for the idle wire; a measurement beside the load
// takes half of it.
//
// The straight wire's packets stay on the ends' CPUs, so what is added to it has the
// interrupts in it by which packets come to the balancer and go on from there. They are
// as many for each contender.
func Latency(ctx context.Context, p Plan) error {
	l := latency{plan: &p, straight: map[string]times{}}
	field, err := p.pick(func(c Contender) bool { return !c.dsr })
	if err != nil {
		return err
	}
	if err := p.rounds(ctx, field, interrupts, l.act); err != nil {
		return err
	}
	for _, c := range l.cells {
		c.tell(p.Sample)
	}
	return nil
}

type latency struct {
	plan     *Plan
	cells    []*cell          // in the order measured
	straight map[string]times // of the idle wire in this round, by protocol
}

// cell is a case with what its rounds have found.
type cell struct {
	sample result.Sample // without values
	rounds [][]result.Value
	all    *hdrhistogram.Histogram
}

// times are those of a round in nanoseconds.
type times struct{ p50, p99 float64 }

func newTimes(h *hdrhistogram.Histogram) times {
	return times{float64(h.ValueAtQuantile(50)), float64(h.ValueAtQuantile(99))}
}

func (l *latency) act(ctx context.Context, s *stage, _ int) error {
	for _, protocol := range s.contender.protocols() {
		if err := l.idle(ctx, s, protocol); err != nil {
			return err
		}
		if err := l.loaded(ctx, s, protocol); err != nil {
			return err
		}
	}
	return nil
}

func (l *latency) idle(ctx context.Context, s *stage, protocol string) error {
	found, h, err := ping(ctx, s, ends.Task{Kind: ends.Ping, Protocol: protocol, Duration: l.plan.Time})
	if err != nil {
		return err
	}
	if s.contender.start == nil {
		l.straight[protocol] = newTimes(h)
	}
	l.add(s.contender, protocol, "idle", protocol+", idle wire", h, []result.Value{
		{Name: "lost", Detail: true, V: ends.Value(found, "lost")},
	})
	return nil
}

func (l *latency) loaded(ctx context.Context, s *stage, protocol string) error {
	most, err := l.carried(ctx, s, protocol)
	if err != nil {
		return err
	}
	rate := most / 2
	found, h, err := ping(ctx, s, ends.Task{Kind: ends.Ping, Protocol: protocol, Duration: l.plan.Time / 2, Sockets: loadSockets, Rate: rate})
	if err != nil {
		return err
	}
	l.add(s.contender, protocol, "half", protocol+", at half of what is carried", h, []result.Value{
		{Name: "load", Unit: "requests/s", More: true, V: ends.Value(found, "rate")},
		{Name: "carried at most", Unit: "requests/s", More: true, Detail: true, V: most},
		{Name: "load unanswered", Unit: "%", Detail: true, V: 100 * ends.Value(found, "unanswered")},
		{Name: "lost", Detail: true, V: ends.Value(found, "lost")},
	})
	return nil
}

// carried measures how many requests are answered at most. It is short, so that a
// machine that is busy with other things may have done nothing for all of it.
func (l *latency) carried(ctx context.Context, s *stage, protocol string) (rate float64, err error) {
	for range 5 {
		found, err := s.ask(ctx, ends.Task{Kind: ends.Load, Protocol: protocol, Sockets: loadSockets, Duration: l.plan.Time / 5})
		if err != nil {
			return 0, err
		}
		if rate := ends.Value(found, "rate"); rate > 0 {
			return rate, nil
		}
	}
	return 0, fmt.Errorf("of many requests over %s at a time none was answered", protocol)
}

func ping(ctx context.Context, s *stage, t ends.Task) (result.Sample, *hdrhistogram.Histogram, error) {
	found, err := s.ask(ctx, t)
	if err != nil {
		return found, nil, err
	}
	h, err := ends.Times(found)
	if err == nil && h.TotalCount() == 0 {
		err = fmt.Errorf("no answer over %s", t.Protocol)
	}
	return found, h, err
}

// add files a round. What was added to the idle wire is part of it: also beside a load,
// since a wire that carries half of what it can has no one's time to compare with.
func (l *latency) add(c *Contender, protocol, load, table string, h *hdrhistogram.Histogram, more []result.Value) {
	name := fmt.Sprintf("%s %s %s", protocol, load, c.Name)
	var at *cell
	for _, known := range l.cells {
		if known.sample.Name == name {
			at = known
		}
	}
	if at == nil {
		at = &cell{all: hdrhistogram.New(1, int64(time.Minute), 3), sample: result.Sample{
			Suite: LatencySuite, Name: name, Table: table,
			Labels: map[string]string{"protocol": protocol, "load": load, "contender": c.Name},
		}}
		l.cells = append(l.cells, at)
	}
	now, wire := newTimes(h), l.straight[protocol]
	values := []result.Value{
		{Name: "p99", Unit: "ns", V: now.p99},
		{Name: "p50", Unit: "ns", V: now.p50},
		{Name: "p99.9", Unit: "ns", V: float64(h.ValueAtQuantile(99.9))},
		{Name: "added p50", Unit: "ns", V: now.p50 - wire.p50},
		{Name: "added p99", Unit: "ns", V: now.p99 - wire.p99},
	}
	if c.start == nil {
		values = values[:3]
	}
	for _, q := range []float64{75, 90, 95, 99.5, 99.95} {
		values = append(values, result.Value{Name: fmt.Sprint("p", q), Unit: "ns", Detail: true, V: float64(h.ValueAtQuantile(q))})
	}
	at.all.Merge(h)
	at.rounds = append(at.rounds, append(append(values, result.Value{Name: "answers", Detail: true, More: true, V: float64(h.TotalCount())}), more...))
}

// tell hands over the rounds. One answer of ten thousand is too rare for the rounds
// each: the figure has one value, that of all answers together.
func (c *cell) tell(sample func(result.Sample)) {
	for i, values := range c.rounds {
		if i == 0 {
			rare := result.Value{Name: "p99.99", Unit: "ns", V: float64(c.all.ValueAtQuantile(99.99))}
			values = append(append(append([]result.Value(nil), values[:3]...), rare), values[3:]...)
		}
		s := c.sample
		s.Values = values
		sample(s)
	}
}
