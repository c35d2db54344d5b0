package balancer

import (
	"errors"
	"strings"
	"testing"
)

// roundTrip checks that every name is read back as its value, and that the error
// for another word says which would be right.
func roundTrip[T interface {
	~uint8
	String() string
}](t *testing.T, parse func(string) (T, error), names ...string) {
	t.Helper()
	seen := map[T]bool{}
	for _, name := range names {
		v, err := parse(name)
		if err != nil || v.String() != name || seen[v] {
			t.Errorf("parse(%q) = %v, %v (seen before: %t), want a value of its own with that name", name, v, err, seen[v])
		}
		seen[v] = true
	}
	for _, word := range []string{"", "nonsense", strings.ToUpper(names[0]), names[0] + " "} {
		_, err := parse(word)
		var unknown *UnknownNameError
		if !errors.As(err, &unknown) || unknown.Name != word {
			t.Errorf("parse(%q): error %v, want an UnknownNameError for it", word, err)
			continue
		}
		for _, name := range names {
			if !strings.Contains(err.Error(), name) {
				t.Errorf("parse(%q): %q does not offer %s", word, err, name)
			}
		}
		if len(unknown.Known) != len(names) {
			t.Errorf("parse(%q) offers %q, want %q", word, unknown.Known, names)
		}
	}
}

func TestNames(t *testing.T) {
	roundTrip(t, ParseProtocol, "tcp", "udp")
	roundTrip(t, ParseMode, "nat", "fullnat", "dsr", "ipip", "gue", "gre")
	roundTrip(t, ParseAlgorithm, "round-robin", "weighted-round-robin", "weighted", "least-conn", "two-choices", "source-hash", "maglev")
	roundTrip(t, ParseOnNoBackend, "reject", "drop")
	roundTrip(t, ParseAnnounce, "none", "local", "arp")
	roundTrip(t, ParseOnDown, "reassign", "keep", "reset")
	roundTrip(t, ParseHealthType, "tcp", "http", "https", "udp", "dns", "icmp", "none")
}

// Other load balancers' words are understood, and not spoken.
func TestAlgorithmAliases(t *testing.T) {
	for alias, want := range map[string]Algorithm{"random": Weighted, "p2c": TwoChoices} {
		if got, err := ParseAlgorithm(alias); err != nil || got != want {
			t.Errorf("%s is %v, %v; want %v", alias, got, err, want)
		}
		if _, err := ParseAlgorithm("nonsense"); strings.Contains(err.Error(), alias) {
			t.Errorf("%q offers the alias %s", err, alias)
		}
	}
}

func TestNameOfNoValue(t *testing.T) {
	for got, want := range map[string]string{
		Protocol(0).String():   "unknown(0)",
		Protocol(7).String():   "unknown(7)",
		Mode(200).String():     "unknown(200)",
		State(4).String():      "unknown(4)",
		StateSuspect.String():  "suspect",
		StateUnknown.String():  "unknown",
		StateUp.String():       "up",
		StateDown.String():     "down",
		Algorithm(7).String():  "unknown(7)",
		HealthType(7).String(): "unknown(7)",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What a config may leave out is the zero value, or config and engine disagree.
func TestDefaultsAreZero(t *testing.T) {
	var s ServiceSpec
	if s.Mode != NAT || s.Algorithm != RoundRobin || s.OnNoBackend != Reject || s.OnDown != Reassign || s.Health.Type != HealthTCP {
		t.Errorf("a zero service has mode %v, algorithm %v, on-no-backend %v, on-down %v, health %v",
			s.Mode, s.Algorithm, s.OnNoBackend, s.OnDown, s.Health.Type)
	}
}
