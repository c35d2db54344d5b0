package top

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// clean is a text as a terminal may have it. Backends have a say in what their checks
// report, so nothing of it may be a command to the terminal, or turn the line around.
func clean(s string) string {
	s = strings.ReplaceAll(s, "\n", "; ")
	if r, size := utf8.DecodeRuneInString(s); unicode.IsMark(r) { // it would go onto what is in front
		s = "?" + s[size:]
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// fit makes a text so many characters wide: it is filled up, or shortened, which an
// ellipsis tells.
func fit(s string, width int, left bool) string {
	if width <= 0 {
		return ""
	}
	have := ansi.StringWidth(s)
	switch {
	case have > width:
		s = ansi.Truncate(s, width, "…")
		return s + strings.Repeat(" ", max(0, width-ansi.StringWidth(s))) // a wide character may not have fitted
	case left:
		return s + strings.Repeat(" ", width-have)
	}
	return strings.Repeat(" ", width-have) + s
}

// amount is a number in five characters, if it is less than a quintillion; - if it is not known.
func amount(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if v >= u.size {
			if v /= u.size; v >= 99.95 {
				return fmt.Sprintf("%.0f%s", v, u.name)
			}
			return fmt.Sprintf("%.1f%s", v, u.name)
		}
	}
	if v < 9.95 && v != math.Trunc(v) {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// ago is how long something has lasted, in two units at most.
func ago(d time.Duration) string {
	d = max(0, d.Round(time.Second))
	switch days := d / (24 * time.Hour); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case days == 0:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%02dh", days, d%(24*time.Hour)/time.Hour)
	}
}

// The looks of things. Each says what a word or a mark says too, so that nothing is lost
// without colour.
var (
	strong = ansi.Style{}.Bold()
	chosen = ansi.Style{}.Reverse(true)
	good   = ansi.Style{}.ForegroundColor(ansi.Green)
	doubt  = ansi.Style{}.ForegroundColor(ansi.Yellow)
	bad    = ansi.Style{}.ForegroundColor(ansi.Red)
)

// look is that of a state; without colours it has none.
func (m *Model) look(state string) ansi.Style {
	if m.plain {
		return ansi.Style{}
	}
	switch state {
	case "up", "all up", "serving", "info":
		return good
	case "drain", "disabled", "warming", "some up", "backup", "panic", "degraded", "starting", "stopping", "warn":
		return doubt
	case "down", "unreachable", "none up", "drained", "waiting", "error", "no answer":
		return bad
	}
	return ansi.Style{}
}
