package demo

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// victim is the backend that dies.
	victim = 1
	// loadPeriod is the time between two new connections meanwhile.
	loadPeriod = 10 * time.Millisecond
	// proof is how many of them must go well before the story goes on.
	proof = 200
	// patience bounds what should take a second, for a machine that is busy with
	// other things.
	patience = 10 * time.Second
)

// failover kills a backend under steady traffic, and brings it back.
func (d *demo) failover(ctx context.Context) error {
	s, name := roundRobin, backends[victim].name
	d.say("\n3. Failover: %d new connections a second to %v; backend %s dies and comes back\n\n", time.Second/loadPeriod, s.vip, name)
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("failover: %w", errTooLong))
	defer cancel()
	var turn atomic.Int64
	l := startLoad(ctx, loadPeriod, func(ctx context.Context) (int, error) {
		return request(ctx, d.lab.Clients[turn.Add(1)%clients], s)
	})
	defer l.stop()
	if err := l.await(ctx, proof/2, func(*attempt) bool { return true }); err != nil {
		return err
	}

	killed := l.now()
	d.kill(victim)
	if err := d.awaitUp(ctx, s, len(backends)-1); err != nil {
		return fmt.Errorf("wait until %s is taken out: %w", name, err)
	}
	out := l.now()
	if err := l.await(ctx, proof, func(a *attempt) bool { return a.start >= out }); err != nil {
		return err
	}

	revived := l.now()
	if err := d.revive(victim); err != nil {
		return err
	}
	if err := d.awaitUp(ctx, s, len(backends)); err != nil {
		return fmt.Errorf("wait until %s is back: %w", name, err)
	}
	back := l.now()
	serves := func(a *attempt) bool { return a.start >= revived && a.err == nil && a.backend == victim }
	if err := l.await(ctx, 1, serves); err != nil {
		return fmt.Errorf("wait until %s serves again: %w", name, err)
	}
	if err := l.await(ctx, proof/2, func(a *attempt) bool { return a.start >= back }); err != nil {
		return err
	}
	list := l.stop()
	first := l.now()
	for i := range list {
		if serves(&list[i]) {
			first = min(first, list[i].end)
		}
	}

	p := split(list, killed, out, revived)
	at := func(t time.Duration, format string, args ...any) {
		d.say("   %5.2f s  %s\n", (t - killed).Seconds(), fmt.Sprintf(format, args...))
	}
	at(killed, "backend %s is killed; %d connections before, %d failed", name, p.before.total, p.before.failed)
	at(out, "it is out of rotation; until here %d of %d connections failed", p.outage.failed, p.outage.total)
	at(revived, "it is started again; until here %d of %d failed, %s by backend", p.without.failed, p.without.total, p.without.by)
	at(back, "it is back in rotation")
	at(first, "it has answered a connection again; since its start %d of %d failed", p.again.failed, p.again.total)
	d.say("\n")
	d.check(fmt.Sprintf("taken out %.2f s after it died: %d failed checks, one every %v, take up to about %v", (out-killed).Seconds(), fall, interval, fall*interval),
		tooLong(out-killed))
	d.check("no connection failed before the kill, and none from then on that it was out", p.wrong())
	d.check(fmt.Sprintf("serves %.2f s after it came back: %d good checks take up to about %v", (first-revived).Seconds(), rise, rise*interval),
		tooLong(first-revived))
	return nil
}

// awaitUp waits until n of the service's backends are in rotation: the table that
// the workers have says so.
func (d *demo) awaitUp(ctx context.Context, s *service, n int) error {
	return d.poll(ctx, patience, func(ctx context.Context) (bool, error) {
		list, err := d.api.Services(ctx)
		for _, got := range list {
			if got.Name == s.name() {
				return got.Backends.Up == n, err
			}
		}
		return false, err
	})
}

func tooLong(took time.Duration) string {
	if took <= patience {
		return ""
	}
	return fmt.Sprintf("expected at most %v, even on a busy machine; it took %v", patience, took.Round(time.Millisecond))
}

// wrong says what is wrong with a failover, or nothing.
func (p *phases) wrong() string {
	for _, part := range []struct {
		when string
		*phase
	}{{"before the kill", &p.before}, {"with the backend out of rotation", &p.without}, {"after its return", &p.again}} {
		if part.failed > 0 {
			return fmt.Sprintf("expected no failure %s; %d of %d failed, the first so: %v", part.when, part.failed, part.total, part.err)
		}
	}
	if n := p.without.by[victim]; n > 0 {
		return fmt.Sprintf("expected no answer of the dead backend; it gave %d", n)
	}
	return ""
}
