package control

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/balancer"
)

func TestOutcome(t *testing.T) {
	for _, c := range []struct{ well, held, want string }{
		{noAnswer, noAnswer, noAnswer},
		{wellChecked, noAnswer, noAnswer},
		{noAnswer, wellChecked, noAnswer},
		{wellChecked, wellChecked, wellChecked},
		{"refused", noAnswer, "refused"},
		{noAnswer, "silent", "silent"},
		{"refused", "silent", "refused"},
		{wellChecked, "silent", "silent"},
	} {
		v := verdicts{twofold: true, text: [2]string{c.well, c.held}}
		if got := v.outcome(); got != c.want {
			t.Errorf("%q and %q: %q, want %q", c.well, c.held, got, c.want)
		}
	}
}

// TestRounds has both questions answered, once a round and in any order. Whoever goes
// down has had a bad answer in each of fall rounds, and whoever comes back has answered
// both questions well rise times in a row; and that is all that it takes, but for the
// round in which it begins.
func TestRounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := balancer.HealthSpec{
			Type: balancer.HealthTCP, Rise: rapid.IntRange(1, 4).Draw(t, "rise"), Fall: rapid.IntRange(1, 4).Draw(t, "fall"),
		}
		h, v := balancer.NewHealth(&spec), newVerdicts(true)
		sick := [2]bool{} // a state that lasts for some rounds, as those of the world do
		var good [2]int   // answers in a row
		bad := 0          // rounds in a row with a bad one
		lasting := 0      // rounds since it has changed
		for range rapid.IntRange(1, 80).Draw(t, "rounds") {
			if rapid.IntRange(0, 4).Draw(t, "changes") == 0 {
				sick = [2]bool{rapid.Bool().Draw(t, "sick"), rapid.Bool().Draw(t, "lost")}
				lasting = 0
			}
			lasting++
			if bad++; sick == [2]bool{} {
				bad = 0
			}
			first := inquiry(rapid.IntRange(0, 1).Draw(t, "first"))
			for _, q := range []inquiry{first, 1 - first} {
				if good[q]++; sick[q] {
					good[q] = 0
				}
				was := h.State()
				if !v.take(q, "", !sick[q]) || !h.Observe(!sick[q]) {
					continue
				}
				switch {
				case h.State() == balancer.StateDown && bad < spec.Fall:
					t.Fatalf("down after %v bad rounds", bad)
				case h.State() == balancer.StateUp && was == balancer.StateDown && min(good[0], good[1]) < spec.Rise:
					t.Fatalf("up after %v good answers", good)
				case h.State() == balancer.StateUp && min(good[0], good[1]) == 0:
					t.Fatalf("up at first after %v good answers", good)
				}
			}
			well := sick == [2]bool{}
			if !well && lasting > spec.Fall && h.State() != balancer.StateDown || well && lasting > spec.Rise && h.State() != balancer.StateUp {
				t.Fatalf("%v after %d rounds of %v", h.State(), lasting, sick)
			}
		}
	})
}

// TestExcuse: what can't be known stands in nobody's way, unless it was known before. It
// is told all the same.
func TestExcuse(t *testing.T) {
	v := newVerdicts(true)
	if v.take(asWell, wellChecked, true) {
		t.Error("up by half of the answers")
	}
	if !v.excuse("no descriptor") || v.outcome() != "ok, but no descriptor" {
		t.Errorf("an excuse stands in the way, or is not told: %q of %+v", v.outcome(), v)
	}
	if v.excuse("no memory"); v.outcome() != "ok, but no memory" {
		t.Errorf("the next excuse is not told: %q", v.outcome())
	}
	v.take(asWell, "refused", false)
	if v.outcome() != "refused" {
		t.Errorf("with a bad check: %q", v.outcome())
	}
	v.take(asWell, wellChecked, true)
	v.take(asHeld, "silent", false)
	if v.excuse("no descriptor") || v.outcome() != "silent" {
		t.Errorf("an excuse takes an answer back: %q of %+v", v.outcome(), v)
	}
}
