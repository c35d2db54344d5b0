package top

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/internal/api"
)

// A rate is what has been counted, or it is not known; it is never less than nothing.
func TestRates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, now := rapid.Uint64().Draw(t, "before"), rapid.Uint64().Draw(t, "now")
		d := time.Duration(rapid.Int64Range(-10, 1e12).Draw(t, "d"))
		switch got := rater(true, d)(before, now); {
		case now < before || d <= 0:
			if !math.IsNaN(got) {
				t.Errorf("%v, though nothing can be known", got)
			}
		case math.Abs(got*d.Seconds()-float64(now-before)) > 1e-6*float64(now-before):
			t.Errorf("%v a second", got)
		}
		if got := rater(false, d)(before, now); !math.IsNaN(got) {
			t.Errorf("%v of what was not there", got)
		}
	})
}

// Rates are of one process and of the same list; sums over workers need no list.
func TestPairs(t *testing.T) {
	before := sample{at: noon, question: question{kind: services}, services: make([]api.Service, 3), status: api.Status{PID: 7, Started: noon}}
	for name, c := range map[string]struct {
		change         func(*sample)
		d              time.Duration
		services, none bool
	}{
		"goes on":          {func(*sample) {}, 2 * time.Second, true, false},
		"another view":     {func(s *sample) { s.kind = drops }, 2 * time.Second, false, false},
		"another service":  {func(s *sample) { s.service = "x" }, 2 * time.Second, false, false},
		"started again":    {func(s *sample) { s.status.Started = noon.Add(time.Second) }, 0, false, true},
		"another process":  {func(s *sample) { s.status.PID++ }, 0, false, true},
		"the clock is set": {func(s *sample) { s.at = noon.Add(-time.Hour) }, 0, false, true},
	} {
		now := before
		now.at = noon.Add(2 * time.Second)
		c.change(&now)
		p := pairOf(&now, &before)
		if p.d != c.d || (p.before.services != nil) != c.services || (p.before.status.PID == 0) != c.none {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if p := pairOf(&before, nil); p.d != 0 {
		t.Errorf("the first one: %+v", p)
	}
}

// slow is a balancer that hangs.
type slow struct{ fake }

func (s *slow) Services(ctx context.Context) ([]api.Service, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A balancer that hangs has no answer; that is not the fault of what was asked for.
func TestAskWhatHangs(t *testing.T) {
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	s, err := ask(ctx, &slow{}, question{kind: services})
	if s != nil || !errors.Is(err, why) {
		t.Errorf("%+v, %v", s, err)
	}
}
