package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/peer/peertest"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/internal/testutil"
)

func TestMain(m *testing.M) {
	child.Main(map[string]child.Handler{BackendsTask: ServeBackends, EchoTask: SendEcho})
	os.Exit(m.Run())
}

// quick is a plan of one tiny scene, and what it tells.
func quick(t *testing.T, rounds int, field ...Contender) (p Plan, f *result.File, progress *[]string) {
	t.Setenv("TMPDIR", t.TempDir())
	f, progress = &result.File{}, new([]string)
	return Plan{
		Field: field, Scenes: []Scene{tiny}, Rounds: rounds, Time: 200 * time.Millisecond, Quick: true,
		Progress: func(format string, args ...any) { *progress = append(*progress, fmt.Sprintf(format, args...)) },
		Sample:   func(s result.Sample) { f.Add(s) }, Note: func(s string) { f.Notes = append(f.Notes, s) },
	}, f, progress
}

// TestRun has two daemons take turns, and finds out all about both.
func TestRun(t *testing.T) {
	testutil.RequireRoot(t)
	program := peertest.Afxlb(t)
	p, f, progress := quick(t, 2, Contender{"afxlb", program}, Contender{"against", program})
	if err := Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "CPU 0") {
		t.Errorf("notes %q, want one that says who was where", f.Notes)
	}
	var order []string
	for _, line := range *progress {
		if strings.HasSuffix(line, "starting") {
			order = append(order, line)
		}
	}
	if want := []string{
		"round 1 of 2, 12x3, afxlb: starting", "round 1 of 2, 12x3, against: starting",
		"round 2 of 2, 12x3, afxlb: starting", "round 2 of 2, 12x3, against: starting",
	}; !slices.Equal(order, want) {
		t.Errorf("turns %q, want %q", order, want)
	}
	for _, who := range []string{"afxlb", "against"} {
		for name, figures := range map[string][]string{
			"rest":           {"all up", "idle", "500 routes a second", "resident", "peak", "changes of routes"},
			"asks idle":      {"status", "worst status", "backends", "worst backends", "asked"},
			"asks meanwhile": {"status", "worst status", "backends", "worst backends", "asked"},
			"change":         {"reload", "worst reload", "reload, asked meanwhile", "MAC moved", "worst MAC moved"},
			"death silent":   {"out of the last service", "all up again"},
			"death removed":  {"out of the last service", "all up again"},
			"echo calm":      {"p99.99", "worst", "answers"},
			"echo scraping":  {"p99.99", "worst", "answers"},
			"scrape":         {"scrape", "worst scrape"},
			"echo changing":  {"p99.99", "worst", "answers"},
		} {
			c := f.Case(Suite, name+" 12x3 "+who)
			rounds := 2
			if strings.HasPrefix(name, "echo") {
				rounds = 1
			}
			for _, figure := range figures {
				if c == nil || c.Figure(figure) == nil || len(c.Figure(figure).Values) != rounds || slices.Min(c.Figure(figure).Values) <= 0 {
					t.Errorf("%s of %s: no figure %q of %d rounds: %+v", name, who, figure, rounds, c)
				}
			}
		}
		// A dead address can't be out of a service before its checks have failed.
		for _, k := range []kind{silent, removed} {
			for _, v := range f.Case(Suite, "death "+string(k)+" 12x3 "+who).Figure("out of the last service").Values {
				if v < float64(((fall - 1) * tiny.Interval).Nanoseconds()) {
					t.Errorf("%s: %s is out after %v", who, k, time.Duration(v))
				}
			}
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// What goes wrong is told, and everything is taken down.
func TestRunErrors(t *testing.T) {
	testutil.RequireRoot(t)
	script := func(text string) string {
		path := filepath.Join(t.TempDir(), "afxlb")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct{ program, want string }{
		"does not start": {script("echo no such interface; exit 3"), "no such interface"},
		"ends by itself": {script("while [ $1 != --socket ]; do shift; done; : > $2; sleep 0.2; echo out of luck; exit 1"), "out of luck"},
		"is not there":   {"/nonexistent/afxlb", "/nonexistent/afxlb"},
	} {
		p, f, _ := quick(t, 1, Contender{"broken", c.program})
		err := Run(t.Context(), p)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "broken, round 1") {
			t.Errorf("a daemon that %s: %v", name, err)
		}
		if len(f.Cases) != 0 {
			t.Errorf("a daemon that %s has figures: %+v", name, f.Cases)
		}
		if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p, _, _ := quick(t, 1, Contender{"afxlb", script("sleep 9")})
	if err := Run(ctx, p); !errors.Is(err, context.Canceled) {
		t.Errorf("when all is over: %v", err)
	}
}
