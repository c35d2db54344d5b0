package balancer

import "time"

// State is what is known of a backend's health.
type State uint8

// The states of a backend.
const (
	StateUnknown State = iota // not probed yet, or not often enough
	StateUp
	StateDown
)

// Health turns the answers to a backend's probes into a [State]. A single answer
// is believed only at the start: the first good one puts an unknown backend up at
// once. After that it takes rise consecutive good answers to go up and fall
// consecutive bad ones to go down.
type Health struct {
	rise, fall int
	state      State
	streak     int // consecutive answers that speak against the state
	fixed      bool
}

// NewHealth returns the health of a backend that was never probed: unknown, or up
// for good if it is not to be probed at all.
func NewHealth(s *HealthSpec) Health {
	if s.Type == HealthNone {
		return Health{state: StateUp, fixed: true}
	}
	return Health{rise: s.Rise, fall: s.Fall}
}

// State returns what the answers so far amount to.
func (h *Health) State() State { return h.state }

// Observe takes the answer to one probe, and reports whether it changed the state.
func (h *Health) Observe(ok bool) (changed bool) {
	want, need := StateUp, h.rise
	switch {
	case !ok:
		want, need = StateDown, h.fall
	case h.state == StateUnknown:
		need = 1
	}
	if h.fixed || h.state == want {
		h.streak = 0
		return false
	}
	if h.streak++; h.streak < need {
		return false
	}
	h.state, h.streak = want, 0
	return true
}

// WarmUp is how long a service waits for the first answer from any of its
// backends before it trusts them unseen.
const WarmUp = 5 * time.Second

// Trusted reports whether unknown backends of a service count as up. A backend is
// not in rotation before its first good answer; but when nothing at all is known
// of any of them, which is a fault of the probes rather than of all backends at
// once, service must not wait for ever: after [WarmUp] they get the benefit of the
// doubt, until the first of them is known to be up or down.
//
// The states are those of all the service's backends; since is when their probes
// started. If time alone will change the result, wait says after how long to ask
// again, otherwise it is 0.
func Trusted(states []State, since, now time.Time) (trusted bool, wait time.Duration) {
	for _, s := range states {
		if s != StateUnknown {
			return false, 0
		}
	}
	if waited := now.Sub(since); waited < WarmUp {
		return false, WarmUp - waited
	}
	return true, 0
}
