package control

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// prometheus is what Prometheus 3 asks for if nobody has told it otherwise.
const prometheus = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5," +
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"

// scrape has all metrics read once, as Prometheus does, and returns how long that takes.
func (s *stage) scrape(ctx context.Context) (time.Duration, error) {
	const at = "http://127.0.0.1:9190/metrics" // the default of listen
	c := http.Client{Transport: &http.Transport{DialContext: s.lab.Balancer.Dial}, Timeout: patience}
	defer c.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Accept", prometheus)
	begun := time.Now()
	answer, err := c.Do(request)
	if err != nil {
		return 0, fmt.Errorf("scrape: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("scrape: %s", answer.Status)
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return 0, fmt.Errorf("scrape: read the answer: %w", err)
	}
	return time.Since(begun), nil
}

// scrapes does so many of them.
func (s *stage) scrapes(ctx context.Context, n int) (took []time.Duration, err error) {
	for range n {
		t, err := s.scrape(ctx)
		if err != nil {
			return nil, err
		}
		took = append(took, t)
	}
	return took, nil
}
