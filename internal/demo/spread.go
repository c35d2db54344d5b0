package demo

import (
	"context"
	"fmt"
	"net"
	"slices"
	"time"
)

// spread sends connections to every service and shows who answered.
func (d *demo) spread(ctx context.Context) error {
	d.say(`
2. The spread over backends a, b and c, of weights 1, 2 and 3

   60 new connections to each service, by turns from the three clients; 600 where
   chance decides. Those of least-conn and two-choices stay open until the last.

`)
	var rows [][]any
	sums, byClient := make([]counts, len(services)), []counts(nil)
	for i := range services {
		s := &services[i]
		seen, failures, err := d.connect(ctx, s)
		if err != nil {
			return err
		}
		sum := total(seen)
		sums[i] = sum
		if s.algorithm == "source-hash" {
			byClient = seen
		}
		wrong := s.expect.wrong(sum, seen)
		if failures != nil {
			wrong = fmt.Sprintf("expected no connection to fail; %d of %d did, the first so: %v", len(failures), s.connections, failures[0])
		}
		row := []any{s.algorithm, s.mode, s.family()}
		for _, n := range sum {
			row = append(row, n)
		}
		rows = append(rows, append(row, s.expect.text(s.connections), d.expect("spread of "+s.name(), wrong)))
	}
	d.table([]string{"ALGORITHM", "MODE", "", "A", "B", "C", "EXPECTED", ""}, rows)
	d.say("\n")
	for i, c := range byClient {
		d.say("   source-hash, client %d: %v\n", i, c)
	}
	d.say("\n")
	return d.compare(ctx, sums)
}

// connect makes the service's connections, one after the other, and counts the
// answers by client and backend.
func (d *demo) connect(ctx context.Context, s *service) (seen []counts, failures []error, err error) {
	seen = make([]counts, clients)
	for i := range seen {
		seen[i] = make(counts, len(backends))
	}
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for i := range s.connections {
		backend, c, err := open(ctx, d.lab.Clients[i%clients], s)
		switch {
		case ctx.Err() != nil:
			return nil, nil, ctx.Err()
		case err != nil:
			failures = append(failures, err)
			continue
		case s.hold:
			held = append(held, c)
		default:
			c.Close()
		}
		seen[i%clients][backend]++
	}
	return seen, failures, nil
}

func total(seen []counts) counts {
	sum := make(counts, len(backends))
	for _, c := range seen {
		for i, n := range c {
			sum[i] += n
		}
	}
	return sum
}

// compare holds the balancer's own account of the flows against what the clients
// saw. A worker publishes its counters before it sleeps.
func (d *demo) compare(ctx context.Context, sums []counts) error {
	var wrong string
	err := d.poll(ctx, 5*time.Second, func(ctx context.Context) (bool, error) {
		wrong = ""
		for i := range services {
			list, err := d.api.Backends(ctx, services[i].name())
			if err != nil {
				return false, err
			}
			var counted counts
			for _, b := range list {
				counted = append(counted, int(b.Flows))
			}
			if !slices.Equal(counted, sums[i]) {
				wrong = fmt.Sprintf("expected %v flows of %s; it counts %v", sums[i], services[i].name(), counted)
			}
		}
		return wrong == "", nil
	})
	if err != nil && wrong == "" {
		return err
	}
	d.check("afxlb counted the same flows for each backend", wrong)
	return nil
}
