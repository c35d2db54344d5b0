package rig

import (
	"fmt"
	"slices"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/bench/traffic"
)

const (
	newPerSecond    = 200_000
	tablesPerSecond = 10
)

// pause looks for the longest batches of a worker that has no rest, while flows are
// opened at a steady rate and the table of backends is replaced again and again.
func (t *Task) pause(out *child.Out) error {
	r, err := New(t.Config, out.Progress)
	if err != nil {
		return err
	}
	defer r.Close()
	for round := range t.Rounds {
		out.Progress(fmt.Sprintf("round %d of %d", round+1, t.Rounds))
		s, err := t.pauseRound(r)
		if err != nil {
			return err
		}
		out.Sample(s)
	}
	return nil
}

func (t *Task) pauseRound(r *Rig) (result.Sample, error) {
	before, err := r.totals()
	if err != nil {
		return result.Sample{}, err
	}
	ended := make(chan struct{})
	changed := make(chan error, 1)
	go func() { changed <- r.change(ended) }()
	x := run{line: r.lines[0], batches: newHistogram()}
	worked := make(chan struct{})
	var fresh float64
	go func() {
		defer close(worked)
		if x.err = pin(0); x.err != nil {
			return
		}
		x.warm(mix{Sizes: traffic.Small}, t.Packets)
		fresh = x.paced(t.Pause)
	}()
	<-worked
	close(ended)
	if err := <-changed; err != nil {
		return result.Sample{}, err
	}
	if x.err != nil {
		return result.Sample{}, x.err
	}
	after, err := r.totals()
	if err != nil {
		return result.Sample{}, err
	}
	if _, _, err := account(&before, &after); err != nil {
		return result.Sample{}, err
	}
	p := percentiles(x.batches)
	last := len(p) - 2 // p99.99 comes first
	values := slices.Concat(p[last:last+1], p[:last], p[last+1:])
	values = append(values,
		result.Value{Name: "new flows", Unit: "flows/s", More: true, V: fresh / t.Pause.Seconds()},
		result.Value{Name: "tables", Unit: "1/s", More: true, V: float64(after.Table.Generation-before.Table.Generation) / t.Pause.Seconds()},
		result.Value{Name: "pass", Unit: "ns/packet", V: float64(x.busy.Nanoseconds()) / float64(x.packets)})
	name := fmt.Sprintf("%s %s %s, %s new a second, %d tables a second", t.Config.Mode, t.Config.Family, Count(t.Config.Flows), Count(newPerSecond), tablesPerSecond)
	return t.sample("longest batches", name, values...), nil
}

// paced works for so long, and opens as many flows as are due by the clock. It returns
// how many were.
func (r *run) paced(d time.Duration) (fresh float64) {
	since := time.Now()
	for r.err == nil {
		now := time.Since(since)
		if now >= d {
			break
		}
		due := min(now.Seconds()*newPerSecond-fresh, batch/2)
		fresh += due
		r.err = r.one(since, due/batch)
	}
	return fresh
}

// change replaces the engine's table until ended is closed. Each time a backend's
// weight has changed, so that everything which depends on it is computed anew.
func (r *Rig) change(ended <-chan struct{}) error {
	spec := r.config.spec()
	tick := time.NewTicker(time.Second / tablesPerSecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ended:
			return r.apply(r.config.spec())
		case <-tick.C:
			spec.Services[0].Backends[n%backends].Weight ^= 3 // 1 and 2
			if err := r.apply(spec); err != nil {
				return err
			}
		}
	}
}
