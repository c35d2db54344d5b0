package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/peer/peertest"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/internal/testutil"
)

func TestMain(m *testing.M) {
	child.Main(handlers)
	os.Exit(m.Run())
}

// bench runs a command line and returns what it wrote.
func bench(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = run(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), err
}

// TestEngine goes the whole way: children measure, the result is saved and reported,
// and can be reported and compared again.
func TestEngine(t *testing.T) {
	dir := t.TempDir()
	stdout, stderr, err := bench(t, "engine", "-quick", "-rounds", "2", "-packets", "3000",
		"-only", "^(known nat ipv[46] 1k|fresh dsr ipv4|parallel nat ipv4 1k)", "-o", dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	path := filepath.Join(dir, "engine.json")
	f, err := result.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, figure := range map[string]string{
		"nat ipv4 64B 1k": "pass/lookup", "nat ipv6 IMIX 1k": "batch p99.9",
		"dsr ipv4 SYNs up to 20k": "rate", "nat ipv4 64B 1k 2 workers": "over one",
	} {
		c := f.Case("engine", name)
		if c == nil || c.Figure(figure) == nil {
			t.Fatalf("no figure %q of %q in the result", figure, name)
		}
		for _, v := range c.Figure(figure).Values {
			if v <= 0 {
				t.Errorf("%s of %s: %v", figure, name, v)
			}
		}
		if n := len(c.Figure(figure).Values); n != 2 {
			t.Errorf("%s of %s has %d rounds, want 2", figure, name, n)
		}
		if !strings.Contains(stdout, name) {
			t.Errorf("the table lacks %q", name)
		}
	}
	if len(f.Cases) != 6 || f.Machine.Kernel == "" || f.Commit == "" || f.Took <= 0 || len(f.Notes) != 1 {
		t.Errorf("%d cases; machine %+v, commit %q, took %v, notes %q", len(f.Cases), f.Machine, f.Commit, f.Took, f.Notes)
	}
	if !strings.Contains(stderr, "1/5  known nat ipv4 1k: round 2 of 2, IMIX") {
		t.Errorf("progress:\n%s", stderr)
	}

	again := filepath.Join(dir, "again")
	if out, _, err := bench(t, "report", "-o", again, path); err != nil || !strings.Contains(out, "nat ipv4 64B 1k") {
		t.Errorf("report: %v\n%s", err, out)
	}
	for _, name := range []string{"index.html", "engine-nat-ipv4.svg", "engine-nat-ipv6.svg"} {
		a, errA := os.ReadFile(filepath.Join(dir, name))
		b, errB := os.ReadFile(filepath.Join(again, name))
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is another when reported again: %v, %v", name, errA, errB)
		}
	}
	out, _, err := bench(t, "compare", "-all", path, path)
	if err != nil || !strings.Contains(out, "0 better, 0 worse") {
		t.Errorf("compared with itself: %v\n%s", err, out)
	}
	if _, _, err := bench(t, "report", path, path); err == nil {
		t.Error("a report of the same run twice")
	}
}

// TestContests goes the whole way of what needs a lab.
func TestContests(t *testing.T) {
	testutil.RequireRoot(t)
	if testutil.Race {
		t.Skip("the detector has seen these suites in bench/contest")
	}
	afxlb := peertest.Afxlb(t)
	for suite, want := range map[string]struct {
		cases []string
		chart string
	}{
		"latency":     {[]string{"udp idle straight", "tcp half afxlb adaptive"}, "latency-tcp-half.svg"},
		"connections": {[]string{"connect straight", "load afxlb adaptive"}, "connections-cpu.svg"},
	} {
		dir := t.TempDir()
		stdout, stderr, err := bench(t, suite, "-afxlb", afxlb, "-only", "^afxlb adaptive$", "-rounds", "1", "-time", "50ms", "-o", dir)
		if err != nil {
			t.Fatalf("%s: %v\n%s", suite, err, stderr)
		}
		f, err := result.Load(filepath.Join(dir, suite+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range want.cases {
			if f.Case(suite, name) == nil || !strings.Contains(stdout, name) {
				t.Errorf("%s: no case %q:\n%s", suite, name, stdout)
			}
		}
		if !strings.Contains(stderr, "round 1 of 1, afxlb adaptive") || !strings.Contains(stdout, "the client on") {
			t.Errorf("%s: progress\n%s\ntable\n%s", suite, stderr, stdout)
		}
		if _, err := os.Stat(filepath.Join(dir, want.chart)); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := bench(t, "latency", "-afxlb", "/nonexistent", "-o", t.TempDir()); err == nil || !strings.Contains(err.Error(), "make bench") {
		t.Errorf("without the daemon: %v", err)
	}
}

// TestLive goes the whole way of what needs a wire.
func TestLive(t *testing.T) {
	testutil.RequireRoot(t)
	dir := t.TempDir()
	stdout, stderr, err := bench(t, "live", "-quick", "-afxlb", peertest.Afxlb(t), "-only", "^(afxlb|forwarder)", "-o", dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	f, err := result.Load(filepath.Join(dir, "live.json"))
	if err != nil {
		t.Fatal(err)
	}
	for name, figure := range map[string]string{
		"afxlb nat ipv4 1k": "of forwarder", "afxlb receive nat ipv4 1k": "looked up", "forwarder swap ipv4 1k": "flooded: forwarded",
	} {
		c := f.Case("live", name)
		if c == nil || c.Figure(figure) == nil || len(c.Figure(figure).Values) != 1 || c.Figure(figure).Values[0] <= 0 {
			t.Errorf("no figure %q of %q in the result: %+v", figure, name, c)
		}
		if !strings.Contains(stdout, name) {
			t.Errorf("the table lacks %q", name)
		}
	}
	if !strings.Contains(stderr, "round 1 of 1, 1/3  afxlb nat ipv4 1k") || !strings.Contains(stdout, "a quick run") {
		t.Errorf("progress:\n%s\ntable:\n%s", stderr, stdout)
	}
	if out, _, err := bench(t, "live", "-list"); err != nil || !strings.Contains(out, "testpmd swap ipv4 100k\n") {
		t.Errorf("-list: %v\n%s", err, out)
	}
	if _, _, err := bench(t, "live", "-afxlb", "/nonexistent", "-o", dir); err == nil || !strings.Contains(err.Error(), "make bench") {
		t.Errorf("without the daemon: %v", err)
	}
}

// TestControl goes the whole way of what changes a running daemon.
func TestControl(t *testing.T) {
	testutil.RequireRoot(t)
	dir, afxlb := t.TempDir(), peertest.Afxlb(t)
	stdout, stderr, err := bench(t, "control", "-quick", "-afxlb", afxlb, "-against", afxlb, "-o", dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	f, err := result.Load(filepath.Join(dir, "control.json"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"rest 12x3 afxlb", "rest 12x3 against", "rest 12x3 aim", "death removed 12x3 afxlb", "echo changing 12x3 against"} {
		if f.Case("control", name) == nil || !strings.Contains(stdout, name) || !strings.Contains(string(page), name) {
			t.Errorf("no case %q in the result, the table or the page:\n%s", name, stdout)
		}
	}
	for _, want := range []string{"afxlb is afxlb ", "against is afxlb ", "a quick run", "worker on CPU"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the notes lack %q:\n%s", want, stdout)
		}
	}
	if !strings.Contains(stderr, "round 1 of 1, 12x3, against: idle") {
		t.Errorf("progress:\n%s", stderr)
	}
	for _, flag := range []string{"-afxlb", "-against"} {
		if _, _, err := bench(t, "control", "-afxlb", afxlb, flag, "/nonexistent", "-o", dir); err == nil || !strings.Contains(err.Error(), "make bench") {
			t.Errorf("%s is not there: %v", flag, err)
		}
	}
}

// TestAll has the suites that need the daemon fail: what the others found is not lost.
func TestAll(t *testing.T) {
	if testutil.Race {
		t.Skip("a minute and a half of what TestEngine does too")
	}
	dir := t.TempDir()
	stdout, stderr, err := bench(t, "all", "-quick", "-rounds", "1", "-afxlb", "/nonexistent", "-o", dir)
	if err == nil {
		t.Error("four suites failed, and it says nothing")
	}
	for i, s := range suites {
		if want := fmt.Sprintf("%d/%d  %s\n", i+1, len(suites), s.name); !strings.Contains(stderr, want) {
			t.Errorf("progress lacks %q:\n%s", want, stderr)
		}
		if want := "note: failed: " + s.name + ": "; strings.Contains(stdout, want) != s.lab {
			t.Errorf("%q is to be there: %v:\n%s", want, s.lab, stdout)
		}
	}
	f, err := result.Load(filepath.Join(dir, "all.json"))
	if err != nil {
		t.Fatal(err)
	}
	if f.Case("engine", "nat ipv4 64B 1k") == nil || !strings.Contains(stdout, "index.html") {
		t.Errorf("no figure of the engine in\n%s", stdout)
	}
}

func TestList(t *testing.T) {
	out, _, err := bench(t, "engine", "-list")
	if err != nil || strings.Count(out, "fresh nat ipv4 1M\n") != 1 || !strings.Contains(out, "known nat ipv4 10M\n") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestHelp(t *testing.T) {
	out, _, err := bench(t, "-h")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		if !strings.Contains(out, "  "+c.name+" ") {
			t.Errorf("help lacks %s:\n%s", c.name, out)
		}
		out, stderr, err := bench(t, c.name, "-h")
		if err != nil || stderr != "" || !strings.HasPrefix(out, "usage: bench "+c.name) {
			t.Errorf("help of %s: %v\nstdout: %s\nstderr: %s", c.name, err, out, stderr)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		nil, {"win"}, {"all", "more"}, {"all", "-rounds", "0"}, {"all", "-only", "x"}, {"engine", "-fast"}, {"engine", "more"}, {"engine", "-only", "("}, {"engine", "-only", "no such task"},
		{"live", "-rounds", "0"}, {"live", "-only", "no such case"}, {"live", "-only", "("}, {"live", "more"}, {"live", "-time", "-1s"},
		{"control", "more"}, {"control", "-rounds", "0"}, {"control", "-time", "0s"}, {"control", "-only", "("}, {"control", "-only", "no such scene"},
		{"control", "-backends", "41"}, {"control", "-services", "0"}, {"control", "-addresses", "201"}, {"latency", "-rounds", "0"}, {"latency", "-time", "0s"}, {"connections", "-only", "("}, {"connections", "more"},
		{"report"}, {"compare", "one.json"},
	} {
		out, stderr, err := bench(t, args...)
		if !errors.Is(err, errUsage) || stderr == "" || out != "" {
			t.Errorf("bench %q: %v\nstdout: %s\nstderr: %s", args, err, out, stderr)
		}
	}
	for _, args := range [][]string{{"report", "absent.json"}, {"compare", "absent.json", "absent.json"}} {
		if _, _, err := bench(t, args...); err == nil || errors.Is(err, errUsage) {
			t.Errorf("bench %q: %v, want an error about the file", args, err)
		}
	}
}
