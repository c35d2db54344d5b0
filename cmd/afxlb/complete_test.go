package main

import (
	"slices"
	"strings"
	"testing"
)

// Names come from the balancer that the command line is for; without one there are none, and
// no error either.
func TestNamesAreCompleted(t *testing.T) {
	socket := fakeSocket(t, fake{backends: 2})
	for _, c := range []struct {
		line string
		want []string
	}{
		{"backend drain --socket SOCKET ", []string{"web"}},
		{"backend drain --socket SOCKET web ", []string{"b0\tup", "b1\tup"}},
		{"backend drain --socket SOCKET web b", []string{"b0\tup", "b1\tup"}},
		{"backend weight --socket SOCKET web b0 ", nil},
		{"backend drain --socket /nonexistent.sock ", nil},
		{"flows --socket SOCKET --service ", []string{"web"}},
		{"backends --socket SOCKET --service ", []string{"web"}},
	} {
		args := append([]string{"__complete"}, strings.Split(strings.ReplaceAll(c.line, "SOCKET", socket), " ")...)
		code, stdout, _ := cli(args...)
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		if last := len(lines) - 1; code != exitDone || lines[last] != ":4" || !slices.Equal(lines[:last], c.want) && len(lines[:last])+len(c.want) > 0 {
			t.Errorf("%q: exit code %d, %q; want %q, and no names of files (:4)", c.line, code, lines, c.want)
		}
	}
}
