package demo

import (
	"context"
	"fmt"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/afxlb/afxlb/internal/lab"
)

// requests is how many connections each service gets: whole turns by weight.
const requests = 60

// expectation says what is wrong with a spread over the backends; empty: nothing.
type expectation func(counts []int) string

// even: round-robin, exact to within one a worker.
func even(counts []int) string {
	for _, n := range counts {
		for _, m := range counts {
			if n-m > queues {
				return fmt.Sprintf("spread %v, want counts that differ by at most %d, one a worker", counts, queues)
			}
		}
	}
	return ""
}

// exactByWeight: a smooth weighted turn on each worker.
func exactByWeight(counts []int) string { return byWeight(counts, 2*queues) }

// roughlyByWeight: random; five standard deviations of the binomial at 60 are 19.
func roughlyByWeight(counts []int) string { return byWeight(counts, 19) }

func byWeight(counts []int, slack int) string {
	sum, weights := 0, 0
	for i, n := range counts {
		sum, weights = sum+n, weights+backends[i].weight
	}
	for i, n := range counts {
		want := sum * backends[i].weight / weights
		if n < want-slack || n > want+slack {
			return fmt.Sprintf("spread %v, want %s near %d", counts, backends[i].name, want)
		}
	}
	return ""
}

// all: every backend has a part in it.
func all(counts []int) string {
	for i, n := range counts {
		if n == 0 {
			return fmt.Sprintf("spread %v: %s got nothing", counts, backends[i].name)
		}
	}
	return ""
}

// one: all connections of one client address go to one backend.
func one(counts []int) string {
	used := 0
	for _, n := range counts {
		if n > 0 {
			used++
		}
	}
	if used != 1 {
		return fmt.Sprintf("spread %v, want one backend for one client", counts)
	}
	return ""
}

// spread sends connections to every service and shows who answered.
func (d *demo) spread(ctx context.Context, _ string) error {
	d.say("\n%d connections to each service, answered by:\n\n", requests)
	tw := tabwriter.NewWriter(d.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  ALGORITHM\tMODE\tVIP\tA\tB\tC\tFAILED")
	c := d.lab.Clients[0].HTTPClient(5*time.Second, false)
	var wrong []string
	for i := range services {
		s := &services[i]
		counts, failed := d.ask(ctx, c, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%d\t%d\t%d\t%d\n", s.algorithm, s.mode, s.vip, counts[0], counts[1], counts[2], failed)
		if failed > 0 {
			wrong = append(wrong, fmt.Sprintf("%s: %d requests failed", s.name(), failed))
		} else if w := s.expect(counts); w != "" {
			wrong = append(wrong, s.name()+": "+w)
		}
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the spread: %w", err)
	}
	for _, w := range wrong {
		d.expect(false, "%s", w)
	}
	return nil
}

// ask sends the service's requests and counts the answers by backend.
func (d *demo) ask(ctx context.Context, c *http.Client, s *service) (counts []int, failed int) {
	counts = make([]int, len(backends))
	for range requests {
		if i := answeredBy(ctx, c, s); i >= 0 {
			counts[i]++
		} else {
			failed++
		}
	}
	return counts, failed
}

// answeredBy returns the backend that answers one request, -1 if it fails.
func answeredBy(ctx context.Context, c *http.Client, s *service) int {
	name, err := lab.Get(ctx, c, "http://"+s.vip.String()+"/")
	if err != nil {
		return -1
	}
	for i := range backends {
		if backends[i].name == name {
			return i
		}
	}
	return -1
}
