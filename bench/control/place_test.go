package control

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// threads returns the CPUs that some thread of this process may use.
func threads(t *testing.T) (cpus []int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		tid, _ := strconv.Atoi(filepath.Base(task))
		var set unix.CPUSet
		if unix.SchedGetaffinity(tid, &set) != nil {
			continue // ended
		}
		for c := range 1024 {
			if set.IsSet(c) && !slices.Contains(cpus, c) {
				cpus = append(cpus, c)
			}
		}
	}
	slices.Sort(cpus)
	return cpus
}

func TestPlace(t *testing.T) {
	p, err := newPlace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.spread(); err != nil {
			t.Error(err)
		}
	})
	if err := p.makeRoom(); err != nil {
		t.Fatal(err)
	}
	if got := threads(t); !slices.Equal(got, p.rest) {
		t.Errorf("having made room for CPU %v, this process is on %v", p.worker, got)
	}
	if err := p.spread(); err != nil {
		t.Fatal(err)
	}
	if got := threads(t); !slices.Equal(got, p.all) || len(got) != len(p.rest)+1 {
		t.Errorf("spread, this process is on %v of %v", got, p.all)
	}
	if text := p.String(); !strings.Contains(text, "on CPU "+strconv.Itoa(p.worker[0])) {
		t.Error(text)
	}
}

// With one CPU, worker and harness would only measure each other.
func TestPlaceNeedsTwo(t *testing.T) {
	p, err := newPlace()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.spread() })
	if err := p.makeRoom(); err != nil {
		t.Fatal(err)
	}
	only := place{rest: p.rest[:1]}
	if err := only.makeRoom(); err != nil {
		t.Fatal(err)
	}
	if _, err := newPlace(); err == nil || !strings.Contains(err.Error(), "CPU of its own") {
		t.Errorf("process %d with one CPU: %v", os.Getpid(), err)
	}
}
