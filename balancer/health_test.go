package balancer

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// observe feeds answers, + for good and - for bad, and returns the state after
// each: ?, U, D or S. An s suspects the backend and an r rechecks it.
func observe(h *Health, answers string) (states string) {
	for _, a := range answers {
		switch a {
		case 's':
			h.Suspect()
		case 'r':
			h.Recheck()
		default:
			h.Observe(a == '+')
		}
		states += string("?UDS"[h.State()])
	}
	return states
}

func TestHealth(t *testing.T) {
	for _, test := range []struct {
		name            string
		rise, fall      int
		answers, states string
	}{
		{"first good answer", 5, 5, "+", "U"},
		{"first good answer after bad ones", 5, 3, "--+", "??U"},
		{"unknown to down", 2, 3, "---", "??D"},
		{"bad streak broken", 2, 3, "+--+--+---", "UUUUUUUUUD"},
		{"good streak broken", 3, 1, "-++-++-+++", "DDDDDDDDDU"},
		{"one is enough", 1, 1, "+-+-", "UDUD"},
		{"a bad answer while unknown", 1, 2, "-+", "?U"},
		{"a suspect that does not answer", 2, 2, "+--s------", "UUDSSSSSSS"},
		{"a suspect that lives", 2, 2, "--s+-+-++", "?DSSSSSSU"},
		{"a suspect that is dead by itself", 2, 3, "---s---r---", "??DSSSSSSSD"},
		{"a suspect that lives, rechecked", 2, 2, "--s-r-+-++", "?DSSSSSSSU"},
		{"good answers count through a recheck", 3, 2, "--s++r+", "?DSSSSU"},
		{"a second recheck begins nothing anew", 2, 3, "---sr--r-", "??DSSSSSD"},
		{"suspected again", 1, 2, "--sr--s--", "?DSSSDSSS"},
		{"only who is down is a suspect", 2, 2, "s+s-r--s", "?UUUUDDS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := NewHealth(&HealthSpec{Rise: test.rise, Fall: test.fall})
			if got := observe(&h, test.answers); got != test.states {
				t.Errorf("answers %s give %s, want %s", test.answers, got, test.states)
			}
		})
	}
}

// Another way of asking: what was known stays until the new rise or fall say otherwise.
func TestHealthAdopt(t *testing.T) {
	slow, fast, none := &HealthSpec{Rise: 3, Fall: 3}, &HealthSpec{Rise: 1, Fall: 2}, &HealthSpec{Type: HealthNone, Rise: 2, Fall: 2}
	for _, test := range []struct {
		name          string
		before, after *HealthSpec
		answers       string // before
		more, states  string // after
	}{
		{"up stays up", slow, fast, "+", "-+--", "UUUD"},
		{"down stays down", slow, fast, "---", "-+", "DU"},
		{"unknown stays unknown", slow, fast, "-", "--", "?D"},
		{"the streak begins anew", slow, slow, "+--", "-", "U"},
		{"a suspect stays one", fast, slow, "--s", "---+++", "SSSSSU"},
		{"a rechecked one too", fast, slow, "--sr-", "---", "SSD"},
		{"not probed any more", slow, none, "---", "---", "UUU"},
		{"not probed any more, unknown", slow, none, "", "-", "U"},
		{"probed from now on", none, slow, "---", "--+---", "UUUUUD"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := NewHealth(test.before)
			observe(&h, test.answers)
			h.Adopt(test.after)
			if got := observe(&h, test.more); got != test.states {
				t.Errorf("answers %q, then %q under the new check give %s, want %s", test.answers, test.more, got, test.states)
			}
		})
	}
}

func TestHealthNoneIsAlwaysUp(t *testing.T) {
	h := NewHealth(&HealthSpec{Type: HealthNone})
	if h.State() != StateUp {
		t.Errorf("an unprobed backend is %v, want up", h.State())
	}
	if got := observe(&h, "----"); got != "UUUU" {
		t.Errorf("states are %s, want UUUU", got)
	}
}

// stateOf judges by the whole history: the last run of equal answers that was long
// enough decides.
func stateOf(history []bool, rise, fall int) State {
	state := StateUnknown
	for i := range history {
		alike := 1
		for alike <= i && history[i-alike] == history[i] {
			alike++
		}
		switch {
		case history[i] && (state == StateUnknown || alike >= rise):
			state = StateUp
		case !history[i] && alike >= fall:
			state = StateDown
		}
	}
	return state
}

func TestHealthAgainstHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rise, fall := rapid.IntRange(1, 4).Draw(t, "rise"), rapid.IntRange(1, 4).Draw(t, "fall")
		answers := rapid.SliceOfN(rapid.Bool(), 1, 40).Draw(t, "answers")
		h := NewHealth(&HealthSpec{Rise: rise, Fall: fall})
		for i, ok := range answers {
			before := h.State()
			changed := h.Observe(ok)
			if want := stateOf(answers[:i+1], rise, fall); h.State() != want {
				t.Fatalf("after %v: %v, want %v", answers[:i+1], h.State(), want)
			}
			if changed != (h.State() != before) {
				t.Fatalf("Observe says changed %t on the way from %v to %v", changed, before, h.State())
			}
		}
	})
}

func TestTrusted(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, test := range []struct {
		name    string
		states  []State
		after   time.Duration
		trusted bool
		wait    time.Duration
	}{
		{"at the start", []State{StateUnknown, StateUnknown}, 0, false, WarmUp},
		{"a moment before", []State{StateUnknown}, WarmUp - 1, false, 1},
		{"after the warm-up", []State{StateUnknown, StateUnknown}, WarmUp, true, 0},
		{"one is up", []State{StateUnknown, StateUp}, time.Hour, false, 0},
		{"one is down, the other may be up", []State{StateDown, StateUnknown}, 0, false, WarmUp},
		{"one is still down, the other may be up", []State{StateDown, StateUnknown}, WarmUp, true, 0},
		{"one is a suspect, the other may be up", []State{StateUnknown, StateSuspect}, time.Hour, true, 0},
		{"all are down", []State{StateDown, StateSuspect}, time.Hour, false, 0},
		{"nobody", nil, time.Hour, false, 0},
		{"one is up early", []State{StateUp, StateUnknown}, time.Second, false, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			trusted, wait := Trusted(test.states, start, start.Add(test.after))
			if trusted != test.trusted || wait != test.wait {
				t.Errorf("trusted %t, ask again after %v; want %t, %v", trusted, wait, test.trusted, test.wait)
			}
		})
	}
}

// A change of the numbers between two bad answers hides no death.
func TestRetuneCountsWhatCame(t *testing.T) {
	spec := HealthSpec{Type: HealthTCP, Rise: 1, Fall: 3}
	h := NewHealth(&spec)
	h.Observe(true)
	for range 2 {
		h.Observe(false)
		h.Retune(&spec)
	}
	if h.Observe(false); h.State() != StateDown {
		t.Errorf("%v after three bad answers", h.State())
	}
}

// A suspect that others have outlived is down at once; nobody else is concerned.
func TestConfirm(t *testing.T) {
	h := NewHealth(&HealthSpec{Type: HealthTCP, Rise: 1, Fall: 1})
	for _, want := range []State{StateUnknown, StateUp, StateDown} {
		switch want {
		case StateUp:
			h.Observe(true)
		case StateDown:
			h.Observe(false)
		}
		if h.Confirm() || h.State() != want {
			t.Errorf("Confirm made %v of %v", h.State(), want)
		}
	}
	h.Suspect()
	if !h.Confirm() || h.State() != StateDown {
		t.Errorf("a suspect is %v", h.State())
	}
}
