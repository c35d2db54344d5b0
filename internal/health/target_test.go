package health

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/balancer"
)

var anAddress = netip.MustParseAddrPort("192.0.2.1:80")

// codes makes ranges of pairs: first, last, first, last …
func codes(pairs ...int) (list []balancer.StatusRange) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, balancer.StatusRange{First: pairs[i], Last: pairs[i+1]})
	}
	return list
}

func TestTargetOf(t *testing.T) {
	http := balancer.HealthSpec{
		Type: balancer.HealthHTTP, Interval: time.Second, Timeout: time.Second / 2,
		Path: "/health", Host: "www.example.com", Expect: codes(200, 204), Body: "well", Rise: 2, Fall: 3,
	}
	want := Target{
		Address: anAddress, Type: balancer.HealthHTTP, Interval: time.Second, Timeout: time.Second / 2,
		Path: "/health", Host: "www.example.com", Expect: "200-204", Body: "well",
	}
	if got := TargetOf(anAddress, &http); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	tcp := http
	tcp.Type = balancer.HealthTCP
	want = Target{Address: anAddress, Type: balancer.HealthTCP, Interval: time.Second, Timeout: time.Second / 2}
	if got := TargetOf(anAddress, &tcp); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestSameQuestionSameTarget changes one thing at a time.
func TestSameQuestionSameTarget(t *testing.T) {
	base := balancer.HealthSpec{Type: balancer.HealthHTTP, Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 3}
	for name, test := range map[string]struct {
		change func(*balancer.HealthSpec)
		same   bool
	}{
		"rise":              {func(s *balancer.HealthSpec) { s.Rise = 5 }, true},
		"fall":              {func(s *balancer.HealthSpec) { s.Fall = 5 }, true},
		"path written out":  {func(s *balancer.HealthSpec) { s.Path = "/" }, true},
		"codes written out": {func(s *balancer.HealthSpec) { s.Expect = codes(300, 399, 200, 299) }, true},
		"interval":          {func(s *balancer.HealthSpec) { s.Interval++ }, false},
		"timeout":           {func(s *balancer.HealthSpec) { s.Timeout-- }, false},
		"type":              {func(s *balancer.HealthSpec) { s.Type = balancer.HealthTCP }, false},
		"path":              {func(s *balancer.HealthSpec) { s.Path = "/health" }, false},
		"host":              {func(s *balancer.HealthSpec) { s.Host = "www.example.com" }, false},
		"codes":             {func(s *balancer.HealthSpec) { s.Expect = codes(200, 398) }, false},
		"body":              {func(s *balancer.HealthSpec) { s.Body = "well" }, false},
	} {
		changed := base
		test.change(&changed)
		if same := TargetOf(anAddress, &changed) == TargetOf(anAddress, &base); same != test.same {
			t.Errorf("%s: same %v, want %v", name, same, test.same)
		}
	}
	if TargetOf(anAddress, &base) == TargetOf(netip.MustParseAddrPort("192.0.2.1:81"), &base) {
		t.Error("another port is not noticed")
	}
}

func TestCanonical(t *testing.T) {
	for _, test := range []struct {
		ranges []balancer.StatusRange
		want   string
	}{
		{nil, "200-399"},
		{codes(404, 404, 200, 299), "200-299,404"},
		{codes(200, 200, 201, 201, 203, 203), "200-201,203"},
		{codes(200, 299, 210, 220, 299, 300), "200-300"},
		{codes(204, 204, 204, 204), "204"},
	} {
		before := append([]balancer.StatusRange(nil), test.ranges...)
		if got := canonical(test.ranges); got != test.want {
			t.Errorf("%v: got %q, want %q", test.ranges, got, test.want)
		}
		for i := range before {
			if before[i] != test.ranges[i] {
				t.Errorf("%v was changed to %v", before, test.ranges)
			}
		}
	}
}

// TestCanonicalKeepsTheMeaning holds two lists against the set of codes that they
// mean: the text admits these codes and no others, and is equal if the sets are.
func TestCanonicalKeepsTheMeaning(t *testing.T) {
	draw := func(t *rapid.T, label string) (list []balancer.StatusRange, set [600]bool) {
		for range rapid.IntRange(1, 4).Draw(t, label) {
			// From few codes, so that ranges meet.
			first := rapid.IntRange(100, 112).Draw(t, "first")
			last := rapid.IntRange(first, 115).Draw(t, "last")
			list = append(list, balancer.StatusRange{First: first, Last: last})
			for code := first; code <= last; code++ {
				set[code] = true
			}
		}
		return list, set
	}
	rapid.Check(t, func(t *rapid.T) {
		listA, setA := draw(t, "a")
		listB, setB := draw(t, "b")
		a, b := canonical(listA), canonical(listB)
		if (a == b) != (setA == setB) {
			t.Fatalf("%v is %q and %v is %q", listA, a, listB, b)
		}
		for code, want := range setA {
			if expects(a, code) != want {
				t.Fatalf("%q from %v: %d is expected: %v", a, listA, code, !want)
			}
		}
	})
}
