package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/bench/peer"
)

// commandLine is a stage whose command line is a shell script.
func commandLine(t *testing.T, script string) (s *stage, notes *[]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "afxlb")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	notes = new([]string)
	s = &stage{program: path, scene: tiny, daemon: &peer.Process{Dir: "/of/daemon"}, note: func(text string) { *notes = append(*notes, text) }}
	return s, notes
}

func TestAsks(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	s, notes := commandLine(t, `echo "$@" >> `+log)
	var a asks
	if err := a.times(t.Context(), s, 3, time.Hour); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("status --socket /of/daemon/afxlb.sock\nbackends --json --socket /of/daemon/afxlb.sock\n", 3)
	if string(text) != want {
		t.Errorf("asked\n%s, want\n%s", text, want)
	}
	if len(a.status) != 3 || len(a.backends) != 3 || a.failed != 0 || len(*notes) != 0 || slices.Min(a.status) <= 0 {
		t.Errorf("%+v, notes %q", a, *notes)
	}
	if err := a.times(t.Context(), s, 3, -1); err != nil || len(a.status) != 3 {
		t.Errorf("time was up before: %v, asked %d times", err, len(a.status))
	}
}

// Failures count, and the first is told.
func TestAsksFailed(t *testing.T) {
	s, notes := commandLine(t, `[ $1 = status ] || { echo "it is too busy" >&2; exit 1; }`)
	var a asks
	if err := a.times(t.Context(), s, 2, time.Hour); err != nil {
		t.Fatal(err)
	}
	if a.failed != 2 || len(a.backends) != 2 {
		t.Errorf("%d of %d failed, want 2 of 2", a.failed, len(a.backends))
	}
	if len(*notes) != 1 || !strings.Contains((*notes)[0], "it is too busy") || !strings.Contains((*notes)[0], "backends") {
		t.Errorf("notes %q, want one with what was said", *notes)
	}
}

func TestAsksBeside(t *testing.T) {
	flag := filepath.Join(t.TempDir(), "asked")
	s, _ := commandLine(t, `: > `+flag)
	var a asks
	broken := errors.New("broken")
	err := a.beside(t.Context(), s, func() error {
		for { // it is asked while this runs
			if _, err := os.Stat(flag); err == nil {
				return broken
			}
			time.Sleep(time.Millisecond)
		}
	})
	if !errors.Is(err, broken) || len(a.status) == 0 || len(a.status) != len(a.backends) {
		t.Errorf("%v, %+v", err, a)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.beside(ctx, s, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("when all is over: %v", err)
	}
}

func TestMedianAndWorst(t *testing.T) {
	for _, c := range []struct{ of, want []time.Duration }{
		{nil, []time.Duration{0, 0}}, {[]time.Duration{7}, []time.Duration{7, 7}},
		{[]time.Duration{9, 1}, []time.Duration{5, 9}}, {[]time.Duration{3, 100, 1, 2, 4}, []time.Duration{3, 100}},
	} {
		before := slices.Clone(c.of)
		if got := []time.Duration{median(c.of), worst(c.of)}; !slices.Equal(got, c.want) || !slices.Equal(before, c.of) {
			t.Errorf("median and worst of %v: %v, want %v", before, got, c.want)
		}
	}
}
