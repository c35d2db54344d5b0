package live

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// watch has the daemon looked at while it is measured, as it is where people care: Prometheus
// scrapes it each second, somebody has its page open, and somebody has top. What they do
// themselves is on the load's CPU; what the daemon does for them is on the balancer's.
func (s *stand) watch(ctx context.Context) {
	s.resume = func() error {
		ctx, cancel := context.WithCancel(ctx)
		watchers := []func(context.Context) error{eachSecond(s.scrape), s.page, eachSecond(s.top)}
		ended := make(chan error, len(watchers))
		for _, w := range watchers {
			go func() {
				err := w(ctx)
				if ctx.Err() != nil { // that is how each is to end
					err = nil
				}
				ended <- err
			}()
		}
		s.pause = func() (err error) {
			cancel()
			for range watchers {
				err = errors.Join(err, <-ended)
			}
			return err
		}
		return nil
	}
}

// eachSecond does something once a second until ctx ends, or it fails.
func eachSecond(do func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			if err := do(ctx); err != nil {
				return err
			}
			if err := pass(ctx, time.Second); err != nil {
				return err
			}
		}
	}
}

// scrape is what Prometheus asks.
func (s *stand) scrape(ctx context.Context) error { return s.get(ctx, "/metrics") }

// page is the stream that an open page reads.
func (s *stand) page(ctx context.Context) error {
	return s.get(ctx, "/v1/watch?with=services,backends,counters,events&service=s0")
}

// top is what the view of a service's backends asks.
func (s *stand) top(ctx context.Context) error {
	_, err := s.daemon.API.Status(ctx)
	if err == nil {
		_, err = s.daemon.API.Backends(ctx, "s0")
	}
	return err
}

// get reads all that the daemon's own address answers.
func (s *stand) get(ctx context.Context, path string) error {
	const at = "127.0.0.1:9190" // the default of listen
	c := http.Client{Transport: &http.Transport{DialContext: s.wire.Balancer.Dial, DisableCompression: true}}
	defer c.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+path, nil)
	if err != nil {
		return err
	}
	answer, err := c.Do(request)
	if err != nil {
		return fmt.Errorf("look at afxlb: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("look at afxlb: %s answers %s", path, answer.Status)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return fmt.Errorf("look at afxlb: read %s: %w", path, err)
	}
	return nil
}
