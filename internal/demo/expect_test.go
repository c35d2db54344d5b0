package demo

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestExpectations(t *testing.T) {
	for _, c := range []struct {
		name   string
		expect expectation
		saw    counts
		holds  bool
	}{
		{"even", evenTurns, counts{20, 20, 20}, true},
		{"even, one a worker", evenTurns, counts{21, 19, 20}, true},
		{"uneven", evenTurns, counts{22, 19, 19}, false},
		{"by weight", weightedTurns, counts{10, 20, 30}, true},
		{"by weight, cut turns", weightedTurns, counts{12, 18, 30}, true},
		{"by weight, too far", weightedTurns, counts{13, 19, 28}, false},
		{"not by weight", weightedTurns, counts{20, 20, 20}, false},
		{"chance", chanceByWeight, counts{120, 180, 300}, true},
		{"no chance", chanceByWeight, counts{200, 200, 200}, false},
		{"load", loadByWeight, counts{10, 20, 30}, true},
		{"load, one off", loadByWeight, counts{11, 20, 29}, false},
		{"about load", aboutLoadByWeight, counts{12, 17, 31}, true},
		{"load ignored", aboutLoadByWeight, counts{20, 20, 20}, false},
	} {
		got := c.expect.wrong(c.saw, nil)
		if (got == "") != c.holds {
			t.Errorf("%s: %v: %q", c.name, c.saw, got)
		}
		if got != "" && !(strings.Contains(got, "expected") && strings.Contains(got, c.saw.String())) {
			t.Errorf("%s: %q does not say what was expected and seen", c.name, got)
		}
	}
}

func TestOneBackendForEachClient(t *testing.T) {
	for _, c := range []struct {
		seen []counts
		want string
	}{
		{[]counts{{0, 20, 0}, {20, 0, 0}, {0, 20, 0}}, ""},
		{[]counts{{20, 0, 0}, {1, 19, 0}, {0, 20, 0}}, "expected one backend for client 1; saw 1 19 0"},
		{[]counts{{20, 0, 0}, {0, 20, 0}, {0, 0, 0}}, "expected one backend for client 2; saw 0 0 0"},
	} {
		if got := oneEach.wrong(total(c.seen), c.seen); got != c.want {
			t.Errorf("%v: %q, want %q", c.seen, got, c.want)
		}
	}
}

func TestTotal(t *testing.T) {
	if got := total([]counts{{1, 2, 3}, {10, 0, 5}}).String(); got != "11 2 8" {
		t.Errorf("total %s", got)
	}
}

// A fair draw must pass, or the demo fails now and then.
func TestChanceIsGivenItsSlack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		saw := counts{0, 0, 0}
		for range 600 {
			saw[[]int{0, 1, 1, 2, 2, 2}[r.IntN(6)]]++
		}
		if wrong := chanceByWeight.wrong(saw, nil); wrong != "" {
			t.Fatal(wrong)
		}
	}
}

// What the table calls expected has to add up to the connections made.
func TestExpectedNumbersAddUp(t *testing.T) {
	for _, s := range services {
		if got := byWeight(s.connections).sum(); got != s.connections {
			t.Errorf("%s: %d connections by weight are %d", s.name(), s.connections, got)
		}
		if got := even(s.connections).sum(); got != s.connections {
			t.Errorf("%s: %d connections evenly are %d", s.name(), s.connections, got)
		}
		if s.expect.text(s.connections) == "" {
			t.Errorf("%s: nothing is expected", s.name())
		}
	}
}
