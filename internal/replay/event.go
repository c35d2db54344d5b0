package replay

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind is what happens to a backend.
type Kind int

// The kinds of events. All of them are what a check, the network or the user does to a
// running balancer.
const (
	Down        Kind = iota // its check says that it does not answer
	Up                      // it answers, and can be reached, again
	Unreachable             // no way leads to it
	Weight                  // it has another weight
	Drain                   // it has the weight 0
	drained                 // its time to drain is over
)

// Event is something that happens to a backend in the course of a capture.
type Event struct {
	Kind    Kind
	Backend string        // SERVICE/BACKEND, or a name or address for all that have it
	Weight  uint16        // of a Weight
	After   time.Duration // the first packet
	At      time.Time     // if it is not zero, in place of After
}

// ParseEvent reads NAME@TIME, and of a [Weight] NAME=WEIGHT@TIME. TIME is since the
// first packet, a number of seconds or as in 1.5s, or the hour as RFC 3339 has it; without
// it, it is the beginning.
func ParseEvent(k Kind, s string) (Event, error) {
	e := Event{Kind: k, Backend: s}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		var err error
		if e.After, e.At, err = parseTime(s[i+1:]); err != nil {
			return Event{}, err
		}
		e.Backend = s[:i]
	}
	switch k {
	case Drain:
		e.Kind = Weight
	case Weight:
		name, weight, ok := strings.Cut(e.Backend, "=")
		n, err := strconv.ParseUint(weight, 10, 16)
		if !ok || err != nil {
			return Event{}, fmt.Errorf("%q: want a weight from 0 to 65535, as in web/a=0@10s", s)
		}
		e.Backend, e.Weight = name, uint16(n)
	}
	if e.Backend == "" {
		return Event{}, fmt.Errorf("%q names no backend; want one as in web/a@10s", s)
	}
	return e, nil
}

func parseTime(s string) (after time.Duration, at time.Time, err error) {
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && seconds >= 0 && seconds < 1e9 {
		return time.Duration(seconds * float64(time.Second)), at, nil
	}
	if after, err := time.ParseDuration(s); err == nil && after >= 0 {
		return after, at, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return 0, at, nil
	}
	return 0, at, fmt.Errorf("%q is no time; want one since the first packet, as in 10 or 1.5s, or one as in 2026-01-02T15:04:05Z", s)
}

// since returns when the event is, counted from the first packet.
func (e *Event) since(first time.Time) time.Duration {
	if e.At.IsZero() {
		return e.After
	}
	return e.At.Sub(first)
}
