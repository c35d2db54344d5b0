package control

import (
	"context"
	"errors"
	"time"
)

// found is what a turn has found.
type found struct {
	up             time.Duration // from the start until all services are up
	idle, flooded  float64       // of a core; the latter while routes change
	rate           float64       // of these changes, a second
	resident, peak uint64        // bytes

	quiet, busy   asks            // while nothing changes, and while something does
	alone, beside []time.Duration // reloads; the latter while the command line asks
	moved         []time.Duration
	deaths        map[kind]death
	scraped       []time.Duration
	// Of echo requests: while nothing happens, while metrics are read, and while all changes.
	calm, scraping, changing *times
}

// effort is how much is done in a turn.
type effort struct {
	time    time.Duration // a figure of CPU time takes, and the calm
	asks    int           // by the command line while nothing changes
	reloads int           // alone, and as many beside the command line; moves too
}

// turn does with a daemon what there is to do.
func (s *stage) turn(ctx context.Context, e effort, progress func(string)) (f *found, err error) {
	f = &found{deaths: map[kind]death{}, calm: newTimes(), scraping: newTimes(), changing: newTimes()}
	progress("until all services are up")
	if f.up, err = s.await(ctx, "all services are up", s.begun, watch, s.allUp); err != nil {
		return nil, err
	}
	if err := pass(ctx, 2*s.scene.Interval); err != nil { // the rush of the start is over
		return nil, err
	}
	progress("idle")
	if err := s.rest(ctx, e, f); err != nil {
		return nil, err
	}
	p, err := s.newPulse(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	err = s.listen(ctx, p, f.calm, func() error { return pass(ctx, e.time) })
	if err != nil {
		return nil, err
	}
	progress("asked by the command line")
	if err := f.quiet.times(ctx, s, e.asks, e.time); err != nil {
		return nil, err
	}
	progress("scraped")
	err = s.listen(ctx, p, f.scraping, func() (err error) {
		f.scraped, err = s.scrapes(ctx, e.asks)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = s.listen(ctx, p, f.changing, func() error { return s.changes(ctx, e, f, progress) })
	if err != nil {
		return nil, err
	}
	_, f.peak, err = s.daemon.Memory()
	return f, err
}

// listen gathers what echo requests find while f runs, and how long the daemon's worker
// has waited for its CPU: that is the doing of whoever else was on it, not the daemon's.
func (s *stage) listen(ctx context.Context, p *pulse, into *times, f func() error) error {
	waited, runs, err := s.daemon.Waited(s.place.worker[0])
	if err != nil {
		return err
	}
	if err := p.record(ctx, into, f); err != nil {
		return err
	}
	into.waited, into.runs, err = s.daemon.Waited(s.place.worker[0])
	into.waited, into.runs = into.waited-waited, into.runs-runs
	return err
}

// rest measures the daemon by itself, and while routes change.
func (s *stage) rest(ctx context.Context, e effort, f *found) (err error) {
	if f.idle, err = s.cpu(ctx, e.time); err != nil {
		return err
	}
	if f.resident, _, err = s.daemon.Memory(); err != nil {
		return err
	}
	f.rate, err = s.flooded(ctx, func() error {
		f.flooded, err = s.cpu(ctx, e.time)
		return err
	})
	return err
}

// cpu measures how much of a core the daemon uses for some time.
func (s *stage) cpu(ctx context.Context, long time.Duration) (float64, error) {
	before, err := s.daemon.CPU()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := pass(ctx, long); err != nil {
		return 0, err
	}
	after, err := s.daemon.CPU()
	return (after - before).Seconds() / time.Since(begun).Seconds(), err
}

// changes makes all kinds of changes, one after the other: first those that are timed by
// themselves, then those beside which the command line asks.
func (s *stage) changes(ctx context.Context, e effort, f *found, progress func(string)) (err error) {
	progress("reloads")
	if f.alone, err = s.reloads(ctx, e.reloads); err != nil {
		return err
	}
	progress("routes change, a MAC address moves")
	_, err = s.flooded(ctx, func() error {
		f.moved, err = s.moves(ctx, e.reloads)
		return err
	})
	if err != nil {
		return err
	}
	return f.busy.beside(ctx, s, func() error {
		for _, k := range kinds {
			progress("an address dies: " + string(k))
			if f.deaths[k], err = s.die(ctx, k); err != nil {
				return err
			}
		}
		progress("reloads, asked by the command line")
		f.beside, err = s.reloads(ctx, e.reloads)
		return err
	})
}
