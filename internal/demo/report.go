package demo

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// report writes what the demo shows, and keeps account of its expectations.
type report struct {
	out    io.Writer
	held   int
	failed []string // expectations that did not hold: what was expected and seen
}

// say prints. A terminal that went away has nobody to be told to.
func (r *report) say(format string, args ...any) { fmt.Fprintf(r.out, format, args...) }

// expect notes whether an expectation held: wrong says what was expected and what
// was seen instead, or is empty. The result is a word for the table.
func (r *report) expect(what, wrong string) string {
	if wrong == "" {
		r.held++
		return "ok"
	}
	r.failed = append(r.failed, what+": "+wrong)
	return "WRONG"
}

// check is expect with a line of its own.
func (r *report) check(what, wrong string) {
	word := r.expect(what, wrong)
	if wrong != "" {
		wrong = ": " + wrong
	}
	r.say("   %-5s  %s%s\n", word, what, wrong)
}

// verdict is the run's result.
func (r *report) verdict() error {
	if len(r.failed) == 0 {
		r.say("\nAll %d expectations held.\n", r.held)
		return nil
	}
	return fmt.Errorf("%d of the demo's %d expectations did not hold:\n  %s",
		len(r.failed), len(r.failed)+r.held, strings.Join(r.failed, "\n  "))
}

// table prints aligned columns, numbers to the right, without trailing spaces.
func (r *report) table(head []string, rows [][]any) {
	lines, width, right := [][]string{head}, make([]int, len(head)), make([]bool, len(head))
	for _, row := range rows {
		line := make([]string, len(row))
		for i, cell := range row {
			switch cell.(type) {
			case int, uint64:
				right[i] = true
			}
			line[i] = fmt.Sprint(cell)
		}
		lines = append(lines, line)
	}
	for _, line := range lines {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if right[i] {
				cell, pad = pad+cell, ""
			}
			b.WriteString("  " + cell + pad)
		}
		r.say(" %s\n", strings.TrimRight(b.String(), " "))
	}
}
