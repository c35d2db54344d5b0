package demo

import (
	"testing"

	"github.com/afxlb/afxlb/internal/config"
)

func TestConfigIsValid(t *testing.T) {
	c, err := config.Parse("demo.yaml", []byte(configFile("asavie")))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Spec.Services) != len(services) || string(c.Driver) != "asavie" {
		t.Errorf("%d services, driver %s", len(c.Spec.Services), c.Driver)
	}
	seen := map[string]bool{}
	for _, s := range c.Spec.Services {
		seen[s.Algorithm.String()+"/"+s.Mode.String()] = true
		if len(s.Backends) != len(backends) {
			t.Errorf("%s has %d backends", s.Name, len(s.Backends))
		}
	}
	if len(seen) != 8 {
		t.Errorf("the demo shows %v, want all seven algorithms in nat, and dsr", seen)
	}
}

func TestExpectations(t *testing.T) {
	for _, c := range []struct {
		name   string
		expect expectation
		counts []int
		holds  bool
	}{
		{"even", even, []int{20, 20, 20}, true},
		{"even, one a worker", even, []int{21, 19, 20}, true},
		{"uneven", even, []int{22, 19, 19}, false},
		{"by weight", exactByWeight, []int{10, 20, 30}, true},
		{"by weight, cut turns", exactByWeight, []int{12, 18, 30}, true},
		{"not by weight", exactByWeight, []int{20, 20, 20}, false},
		{"random", roughlyByWeight, []int{15, 25, 20}, true},
		{"far from the weights", roughlyByWeight, []int{40, 20, 0}, false},
		{"all", all, []int{58, 1, 1}, true},
		{"one is missing", all, []int{30, 30, 0}, false},
		{"one", one, []int{0, 60, 0}, true},
		{"two", one, []int{1, 59, 0}, false},
		{"none", one, []int{0, 0, 0}, false},
	} {
		if got := c.expect(c.counts); (got == "") != c.holds {
			t.Errorf("%s: %v: %q", c.name, c.counts, got)
		}
	}
}
