package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/afxlb/afxlb/internal/api"
)

// victim is the backend that dies.
const victim = 1

// failover kills a backend under steady traffic, and brings it back.
func (d *demo) failover(ctx context.Context, _ string) error {
	s, name := &services[0], backends[victim].name
	c := d.lab.Clients[0].HTTPClient(time.Second, false)
	d.say("\nBackend %s is killed, under steady new connections to %s:\n", name, s.vip)
	d.web[victim].Kill()
	killed := time.Now()
	failed, ok := 0, 0
	for down := false; !down; {
		if answeredBy(ctx, c, s) < 0 {
			failed++
		} else {
			ok++
		}
		var err error
		if down, err = d.isState(ctx, name, "down"); err != nil {
			return err
		}
	}
	took := time.Since(killed)
	d.say("  taken out after %v (%d checks, one every %d ms); until then %d of %d requests failed\n", took.Round(time.Millisecond), fall, interval, failed, ok+failed)
	counts, failed := d.ask(ctx, c, s)
	d.say("  from then on %d of %d requests failed\n", failed, requests)
	d.expect(failed == 0, "%d requests failed after %s was taken out", failed, name)
	d.expect(counts[victim] == 0, "%s answered %d requests while it was dead", name, counts[victim])

	if err := d.web[victim].Start(); err != nil {
		return err
	}
	back := time.Now()
	for {
		if i := answeredBy(ctx, c, s); i == victim {
			break
		} else if ctx.Err() != nil {
			return ctx.Err()
		} else {
			d.expect(i >= 0, "a request failed while %s came back", name)
		}
		if time.Since(back) > 10*time.Second {
			return fmt.Errorf("backend %s came back, but is not used again after %v", name, time.Since(back).Round(time.Second))
		}
	}
	d.say("Backend %s is started again: it serves after %v\n", name, time.Since(back).Round(time.Millisecond))
	_, err := d.await(ctx, "bring all backends up again", func(s api.Status) bool { return s.Backends.Up == s.Backends.Total })
	return err
}

// isState reports whether the first service's backend is in a state.
func (d *demo) isState(ctx context.Context, name, state string) (bool, error) {
	list, err := d.api.Backends(ctx, services[0].name())
	if err != nil {
		return false, err
	}
	for _, b := range list {
		if b.Name == name {
			return b.State == state, nil
		}
	}
	return false, fmt.Errorf("afxlb knows no backend %s of %s", name, services[0].name())
}

// account shows what became of every packet, and that the sums agree.
func (d *demo) account(ctx context.Context, _ string) error {
	// A worker publishes its counters before it sleeps; wait until they stand still.
	var list []api.Counter
	for last := uint64(0); ; {
		var err error
		if list, err = d.api.Counters(ctx); err != nil {
			return err
		}
		if n := received(list); n == last {
			break
		} else {
			last = n
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * poll):
		}
	}
	d.say("\nEvery packet that the workers received:\n")
	sum := uint64(0)
	for _, c := range list {
		if c.Group != "packets" {
			continue
		}
		if c.Name != "received" {
			sum += c.Value
		}
		if c.Value > 0 {
			d.say("  %-12s %8d  %s\n", c.Name, c.Value, c.Help)
		}
	}
	d.expect(sum == received(list), "the verdicts sum up to %d, received %d", sum, received(list))
	return nil
}

func received(list []api.Counter) uint64 {
	for _, c := range list {
		if c.Group == "packets" && c.Name == "received" {
			return c.Value
		}
	}
	return 0
}
