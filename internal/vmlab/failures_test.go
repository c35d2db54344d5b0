package vmlab

import (
	"regexp"
	"strings"
	"testing"
)

var failedTest = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)

// failures returns what the failed tests printed, from all that a test binary printed with
// -test.v: among thousands of lines that say PASS nobody finds it, and CI keeps only the end.
// Where no test says that it failed (a panic, a time that ran out), it is all of it.
func failures(verbose string) string {
	failed := map[string]bool{}
	for _, m := range failedTest.FindAllStringSubmatch(verbose, -1) {
		failed[m[1]] = true
	}
	if len(failed) == 0 {
		return verbose
	}
	var b strings.Builder
	name := ""
	for line := range strings.Lines(verbose) {
		switch f := strings.Fields(line); {
		case len(f) == 3 && f[0] == "===": // RUN, PAUSE, CONT and NAME: whose lines come now
			name = f[2]
		case len(f) > 2 && f[0] == "---" && f[1] != "FAIL:":
		case failed[name] || len(f) > 2 && f[0] == "---":
			b.WriteString(line)
		}
	}
	return b.String()
}

func TestFailures(t *testing.T) {
	const verbose = `=== RUN   TestGood
    good_test.go:1: says nothing of interest
--- PASS: TestGood (0.00s)
=== RUN   TestBad
=== RUN   TestBad/one
    bad_test.go:7: got 1
=== RUN   TestBad/two
=== NAME  TestBad
    bad_test.go:9: and this
--- FAIL: TestBad (0.00s)
    --- FAIL: TestBad/one (0.00s)
    --- PASS: TestBad/two (0.00s)
=== RUN   TestLater
    later_test.go:1: nor this
--- PASS: TestLater (0.00s)
FAIL
`
	const want = `    bad_test.go:7: got 1
    bad_test.go:9: and this
--- FAIL: TestBad (0.00s)
    --- FAIL: TestBad/one (0.00s)
`
	if got := failures(verbose); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := failures("panic: oh\n"); got != "panic: oh\n" {
		t.Errorf("of a panic without a test's name: %q", got)
	}
}
