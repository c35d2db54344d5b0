package config

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNearest(t *testing.T) {
	names := []string{"address", "backends", "max-flows", "name", "on-down", "on-no-backend", "port", "protocol", "tcp-syn", "udp-new"}
	for word, want := range map[string]string{
		"adress": "address", "addresses": "address", "max_flows": "max-flows", "MaxFlows": "max-flows",
		"prot": "port", "portocol": "protocol", "proto": "", "backend": "backends", "nmae": "name",
		"onnobackend": "on-no-backend", "": "", "x": "", "weight": "", "servers": "", "tcpsyn": "tcp-syn",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

// TestLongWordsAreNoNames, whatever is left of them in the normal form.
func TestLongWordsAreNoNames(t *testing.T) {
	if got := nearest(strings.Repeat("-", 200)+"port", []string{"port"}); got != "" {
		t.Errorf("200 dashes in front of port are taken for %q", got)
	}
}

// TestNearestIsItsDefinition: a long word, which is not looked at, is not near.
func TestNearestIsItsDefinition(t *testing.T) {
	names := []string{"a", "ab", "b-c", "aabb", "cccccc"}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[abc-]{0,12}`).Draw(t, "word")
		want, least := "", max(len(word)/3, 1)+1
		for _, n := range names {
			if d := distance(normal(word), normal(n)); d < least {
				want, least = n, d
			}
		}
		if got := nearest(word, names); got != want {
			t.Fatalf("nearest(%q) = %q, want %q", word, got, want)
		}
	})
}

// slowDistance is the definition of the optimal string alignment distance.
func slowDistance(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	replace := slowDistance(a[1:], b[1:])
	if a[0] != b[0] {
		replace++
	}
	d := min(replace, slowDistance(a[1:], b)+1, slowDistance(a, b[1:])+1)
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		d = min(d, slowDistance(a[2:], b[2:])+1)
	}
	return d
}

func TestDistanceIsItsDefinition(t *testing.T) {
	word := rapid.StringMatching(`[abc]{0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		if got, want := distance(a, b), slowDistance(a, b); got != want {
			t.Fatalf("distance(%q, %q) = %d, want %d", a, b, got, want)
		}
	})
}
