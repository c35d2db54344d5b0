package bpf

import (
	"regexp"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestReasons(t *testing.T) {
	seen := map[string]bool{}
	for r := range NumReasons {
		name, help := r.String(), r.Help()
		if !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(name) || seen[name] {
			t.Errorf("reason %d is named %q: not a name, or not its own", r, name)
		}
		seen[name] = true
		if help == "" {
			t.Errorf("%s has no help", r)
		}
	}
	if got := NumReasons.String(); got != "reason-7" || NumReasons.Help() != "" {
		t.Errorf("no reason is named %q", got)
	}
}

// TestCounters: every packet counts once under its reason, whichever CPU ran the
// program, and Steered is what went to a socket.
func TestCounters(t *testing.T) {
	p := loadWithSocket(t, testSteering())
	var want Counters
	steered := uint64(0)
	for cpu := range min(runtime.NumCPU(), 4) {
		onCPU(t, cpu, func() {
			for _, s := range samples() {
				if _, _, err := p.objects.Steer.Test(frame(s.packet)); err != nil {
					t.Errorf("%s: %v", s.name, err)
				}
				want[s.want]++
				if s.want != Passed {
					steered++
				}
			}
		})
	}
	got := counters(t, p)
	if got != want {
		t.Errorf("counted %v, want %v", got, want)
	}
	if got.Steered() != steered {
		t.Errorf("%d steered, want %d", got.Steered(), steered)
	}
	if err := p.ClearSocket(0); err != nil {
		t.Fatal(err)
	}
	run(t, p, frame(tcp(client4, vip4, 1, 80)))
	after := counters(t, p)
	if after[DroppedNoSocket] != 1 || after.Steered() != got.Steered() {
		t.Errorf("without a socket: %v, then %v", got, after)
	}
}

// onCPU runs f on a thread that is bound to the CPU, and ends the thread.
func onCPU(t *testing.T, cpu int, f func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpu)
		err := unix.SchedSetaffinity(0, &set)
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatalf("bind to CPU %d: %v", cpu, err)
	}
}
