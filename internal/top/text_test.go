package top

import (
	"math"
	"testing"
	"time"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"
)

func TestAmount(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.25: "0.2", 1: "1", 9.94: "9.9", 9.96: "10", 12.5: "12", 999: "999", 1000: "1.0k", 99_949: "99.9k", 99_951: "100k", 999_999: "1000k",
		1e6: "1.0M", 12.3e9: "12.3G", 1e12: "1.0T", 1.5e15: "1.5P", math.MaxUint64: "18447P", math.NaN(): "-",
	} {
		if got := amount(v); got != want {
			t.Errorf("%v is %q, want %q", v, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		if v := rapid.Float64Range(0, 1e18).Draw(t, "v"); len(amount(v)) > 5 {
			t.Errorf("%v is %q", v, amount(v))
		}
	})
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", time.Minute: "1m00s", 3599 * time.Second: "59m59s",
		time.Hour: "1h00m", 25 * time.Hour: "1d01h", 1000 * time.Hour: "41d16h",
	} {
		if got := ago(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// A text is as wide as it has to be, and what is left out is told.
func TestFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, width, left := clean(rapid.StringOf(rapid.SampledFrom([]rune("ab Z-é世界\u0301ः👍…"))).Draw(t, "s")), rapid.IntRange(0, 30).Draw(t, "width"), rapid.Bool().Draw(t, "left")
		got := fit(s, width, left)
		if ansi.StringWidth(got) != width {
			t.Errorf("%q is %d wide, want %d", got, ansi.StringWidth(got), width)
		}
	})
	for s, want := range map[string]string{"backend": "backe…", "web": "web   ", "": "      ", "世界世界": "世界… "} {
		if got := fit(s, 6, true); got != want {
			t.Errorf("%q is %q, want %q", s, got, want)
		}
	}
}

func TestClean(t *testing.T) {
	for s, want := range map[string]string{"a\nb": "a; b", "a\tb": "a b", "\x1b[2J\u202e\x00é世": "?[2J??é世", "\u0301a\u0301": "?a\u0301", "": ""} {
		if got := clean(s); got != want {
			t.Errorf("%q is %q, want %q", s, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range clean(rapid.String().Draw(t, "s")) {
			if !unicode.IsPrint(r) {
				t.Errorf("%q is left", r)
			}
		}
	})
}
