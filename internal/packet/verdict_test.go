package packet

import (
	"regexp"
	"strings"
	"testing"
)

// Names become metric labels and filter words, helps a column and a sentence of
// the documentation.
func TestVerdictsAreNamed(t *testing.T) {
	seen := map[string]Verdict{}
	name := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	for v := range NumVerdicts {
		s, help := v.String(), v.Help()
		if !name.MatchString(s) {
			t.Errorf("verdict %d is called %q", v, s)
		}
		if other, ok := seen[s]; ok {
			t.Errorf("verdicts %d and %d are both called %q", other, v, s)
		}
		seen[s] = v
		if help == "" || strings.HasSuffix(help, ".") || strings.ContainsAny(help, "\n\t") {
			t.Errorf("%s: help %q", v, help)
		}
	}
}

// Every verdict is of one class, and all but a few are reasons for a drop.
func TestVerdictClass(t *testing.T) {
	others := map[Verdict]Class{Pending: 0, Forwarded: ClassForward, Replied: ClassReply, Punted: ClassPunt}
	for v := range NumVerdicts + 10 {
		want, ok := others[v]
		if !ok && v < NumVerdicts {
			want = ClassDrop
		}
		if v.Class() != want || v.IsDrop() != (want == ClassDrop) {
			t.Errorf("%v: class %d, IsDrop %v; want class %d", v, v.Class(), v.IsDrop(), want)
		}
	}
}

func TestVerdictOutOfRange(t *testing.T) {
	if s, help := NumVerdicts.String(), Verdict(255).Help(); s != "unknown" || help != "" {
		t.Errorf("%q, %q", s, help)
	}
}
