package top

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/afxlb/afxlb/internal/api"
)

// Source is what top asks; [api.Client] is one.
type Source interface {
	Status(context.Context) (api.Status, error)
	Services(context.Context) ([]api.Service, error)
	Backends(ctx context.Context, service string) ([]api.Backend, error)
	Counters(context.Context) ([]api.Counter, error)
	Events(ctx context.Context, since time.Time) ([]api.Event, error)
}

// answerTime bounds one sample: a balancer that takes longer has no answer.
const answerTime = 5 * time.Second

// question is what a sample has beside the status.
type question struct {
	kind    Kind
	service string // of backends: whose
}

// sample is what the balancer said at one moment.
type sample struct {
	question
	at       time.Time
	status   api.Status
	services []api.Service
	backends []api.Backend
	counters []api.Counter
	events   []api.Event
	// refused says why there is no list, though the balancer answers: the service is gone.
	refused error
}

// ask takes a sample. An error means that there is no balancer.
func ask(ctx context.Context, from Source, q question) (*sample, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTime, fmt.Errorf("no answer for %v", answerTime))
	defer cancel()
	s := &sample{question: q}
	var err error
	if s.status, err = from.Status(ctx); err != nil {
		return nil, err
	}
	switch q.kind {
	case services:
		s.services, s.refused = from.Services(ctx)
	case backends:
		s.backends, s.refused = from.Backends(ctx, q.service)
	case drops:
		s.counters, s.refused = from.Counters(ctx)
	case events:
		s.events, s.refused = from.Events(ctx, time.Time{})
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s.at = time.Now()
	return s, nil
}

// follows reports whether rates can be had of two samples: both are of one process.
func (s *sample) follows(before *sample) bool {
	return before != nil && s.at.After(before.at) &&
		s.status.PID == before.status.PID && s.status.Started.Equal(before.status.Started)
}

// rater returns how fast counters grow, by what they were and are. What is not known is not
// a number: of what was not there before, and of a counter that has become less, since who
// counts has begun anew.
func rater(known bool, d time.Duration) func(before, now uint64) float64 {
	return func(before, now uint64) float64 {
		if !known || now < before || d <= 0 {
			return math.NaN()
		}
		return float64(now-before) / d.Seconds()
	}
}

// pair is two samples between which things have gone on.
type pair struct {
	now, before *sample // before has nothing of what is not to be compared with
	d           time.Duration
}

func pairOf(now, before *sample) pair {
	switch {
	case !now.follows(before):
		return pair{now, &sample{}, 0}
	case now.question != before.question: // its list is of other things
		before = &sample{at: before.at, status: before.status}
	}
	return pair{now, before, now.at.Sub(before.at)}
}

// rate returns the rater of one of the things that are in the two samples' lists.
func rate[T any](p pair, before map[string]*T, key string) (*T, func(before, now uint64) float64) {
	old, known := before[key]
	if !known {
		old = new(T)
	}
	return old, rater(known, p.d)
}

// byKey has a list's elements by their keys.
func byKey[T any](list []T, key func(*T) string) map[string]*T {
	by := make(map[string]*T, len(list))
	for i := range list {
		by[key(&list[i])] = &list[i]
	}
	return by
}
