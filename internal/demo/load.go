package demo

import (
	"context"
	"sync"
	"time"
)

// attempt is one connection of a load. Times are since the load's start.
type attempt struct {
	start, end time.Duration
	backend    int
	err        error
}

// load makes new connections at a steady rate, however long each of them takes.
type load struct {
	begun time.Time
	quit  context.CancelFunc
	tasks sync.WaitGroup
	news  chan struct{} // holds a token after an attempt has ended

	mu    sync.Mutex
	ended []attempt
}

// maxOpen bounds the attempts under way, should they hang.
const maxOpen = 100

// startLoad calls try every period. It must be stopped.
func startLoad(ctx context.Context, period time.Duration, try func(context.Context) (backend int, err error)) *load {
	running, quit := context.WithCancel(ctx)
	l := &load{begun: time.Now(), quit: quit, news: make(chan struct{}, 1)}
	l.tasks.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		slots := make(chan struct{}, maxOpen)
		for {
			select {
			case <-running.Done():
				return
			case <-tick.C:
			}
			select {
			case slots <- struct{}{}:
			default:
				continue
			}
			l.tasks.Go(func() {
				a := attempt{start: l.now()}
				a.backend, a.err = try(ctx)
				a.end = l.now()
				l.add(a)
				<-slots
			})
		}
	})
	return l
}

func (l *load) add(a attempt) {
	l.mu.Lock()
	l.ended = append(l.ended, a)
	l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// now is the time since the load's start.
func (l *load) now() time.Duration { return time.Since(l.begun) }

// await waits until n attempts have ended that match.
func (l *load) await(ctx context.Context, n int, match func(*attempt) bool) error {
	for {
		l.mu.Lock()
		found := 0
		for i := range l.ended {
			if match(&l.ended[i]) {
				found++
			}
		}
		l.mu.Unlock()
		if found >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-l.news:
		}
	}
}

// stop ends the load, waits for the attempts under way and returns all. It may be
// called again.
func (l *load) stop() []attempt {
	l.quit()
	l.tasks.Wait()
	return l.ended
}

// phase sums up attempts.
type phase struct {
	total, failed int
	by            counts
	err           error // the first
}

func (p *phase) add(a *attempt) {
	p.total++
	if a.err != nil {
		if p.failed++; p.err == nil {
			p.err = a.err
		}
		return
	}
	p.by[a.backend]++
}

// phases are the parts of a failover.
type phases struct{ before, outage, without, again phase }

// split sorts attempts by when they began; but one that was under way when the
// backend was killed may rightly have failed, and belongs to the outage.
func split(list []attempt, killed, out, revived time.Duration) *phases {
	p := &phases{}
	for _, q := range []*phase{&p.before, &p.outage, &p.without, &p.again} {
		q.by = make(counts, len(backends))
	}
	for i := range list {
		switch a := &list[i]; {
		case a.end < killed:
			p.before.add(a)
		case a.start < out:
			p.outage.add(a)
		case a.start < revived:
			p.without.add(a)
		default:
			p.again.add(a)
		}
	}
	return p
}
