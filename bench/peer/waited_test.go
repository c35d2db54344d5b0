package peer

import (
	"strings"
	"testing"
	"time"
)

// TestWaited has two loops on one CPU: each waits for the other.
func TestWaited(t *testing.T) {
	h := host(t)
	start := func() *Process {
		c := shell(`echo ready; while :; do :; done`)
		c.CPUs = []int{0}
		p, err := Start(t.Context(), h, c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.kill() })
		return p
	}
	p, other := start(), start()
	before, runs, err := p.Waited(0)
	if err != nil {
		t.Fatal(err)
	}
	for begun := time.Now(); ; time.Sleep(time.Millisecond) {
		waited, now, err := p.Waited(0)
		if err != nil {
			t.Fatal(err)
		}
		if took := waited - before; took > time.Since(begun)+10*time.Millisecond {
			t.Fatalf("waited %v in %v", took, time.Since(begun))
		} else if took > 20*time.Millisecond && now > runs {
			break
		}
	}
	if _, _, err := other.Waited(1); err == nil || !strings.Contains(err.Error(), "CPU 1") {
		t.Errorf("on a CPU that it is not on: %v", err)
	}
}
