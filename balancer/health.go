package balancer

import "time"

// State is what is known of a backend's health.
type State uint8

// The states of a backend.
const (
	StateUnknown State = iota // not probed yet, or not often enough
	StateUp
	StateDown
	// StateSuspect is down, but together with all others of its service at one moment,
	// which is more likely a fault on the way to them: flows stay.
	StateSuspect
)

// Health turns the answers to a backend's probes into a [State]. A single answer
// is believed only at the start: the first good one puts an unknown backend up at
// once. After that it takes rise consecutive good answers to go up and fall
// consecutive bad ones to go down.
type Health struct {
	rise, fall int
	state      State
	streak     int  // consecutive good answers, or, below 0, bad ones
	fixed      bool // it is not probed
	rechecked  bool // suspects only: bad answers count again
}

// NewHealth returns the health of a backend that was never probed: unknown, or up
// for good if it is not to be probed at all.
func NewHealth(s *HealthSpec) Health {
	var h Health
	h.Adopt(s)
	return h
}

// Adopt goes on with another way of asking. What is known stays known until the new
// way's rise or fall answers in a row say otherwise. A backend that is not to be probed
// any more is up for good; one that was not is up until fall answers are bad.
func (h *Health) Adopt(s *HealthSpec) {
	h.Retune(s)
	h.streak = 0
	if h.fixed = s.Type == HealthNone; h.fixed {
		h.state = StateUp
	}
}

// Retune goes on with the same question, asked at other times or judged by other numbers
// of answers: those that came count.
func (h *Health) Retune(s *HealthSpec) { h.rise, h.fall = s.Rise, s.Fall }

// State returns what the answers so far amount to.
func (h *Health) State() State { return h.state }

// Doubtful reports whether the latest answer says something else than the state: it is on
// its way to another, if the answers go on like that.
func (h *Health) Doubtful() bool {
	switch h.state {
	case StateDown, StateSuspect:
		return h.streak > 0
	default:
		return h.streak < 0
	}
}

// Observe takes the answer to one probe, and reports whether it changed the state.
func (h *Health) Observe(ok bool) (changed bool) {
	if h.fixed {
		return false
	}
	before := h.state
	if ok {
		h.streak = max(h.streak, 0) + 1
		if h.streak >= h.rise || h.state == StateUnknown {
			h.state = StateUp
		}
	} else {
		h.streak = min(h.streak, 0) - 1
		if -h.streak >= h.fall && (h.state != StateSuspect || h.rechecked) {
			h.state = StateDown
		}
	}
	return h.state != before
}

// Suspect says that the backend went down together with all others of its service. It
// is a suspect then until it has answered well rise times, or badly fall times after a
// [Health.Recheck]. A backend that is not down stays as it is.
func (h *Health) Suspect() {
	if h.state == StateDown {
		h.state, h.streak, h.rechecked = StateSuspect, 0, false
	}
}

// Recheck says that somebody else of a suspect's service is up again, so that from now
// on its bad answers are its own.
func (h *Health) Recheck() {
	if h.state == StateSuspect && !h.rechecked {
		h.streak, h.rechecked = max(h.streak, 0), true
	}
}

// Confirm says that a suspect is down by itself: somebody of its service who never went
// down has answered well since it began to fail. It reports whether it was a suspect.
func (h *Health) Confirm() (changed bool) {
	if h.state != StateSuspect {
		return false
	}
	h.state = StateDown
	return true
}

// WarmUp is how long a service waits for the first good answer from any of its
// backends before it trusts those that nothing is known of.
const WarmUp = 5 * time.Second

// Trusted reports whether unknown backends of a service count as up. A backend is
// not in rotation before its first good answer; but where nobody is up, service must
// not wait for ever for those that may be: after [WarmUp] they get the benefit of the
// doubt, until they are known to be down or somebody to be up.
//
// The states are those of all the service's backends; since is when their probes
// started. If time alone will change the result, wait says after how long to ask
// again, otherwise it is 0.
func Trusted(states []State, since, now time.Time) (trusted bool, wait time.Duration) {
	unknown := false
	for _, s := range states {
		switch s {
		case StateUp:
			return false, 0
		case StateUnknown:
			unknown = true
		}
	}
	if !unknown {
		return false, 0
	}
	if waited := now.Sub(since); waited < WarmUp {
		return false, WarmUp - waited
	}
	return true, 0
}
