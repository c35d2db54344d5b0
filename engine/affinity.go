package engine

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// placement decides on which CPU each of n workers runs: the i-th of want, or of
// the allowed ones when want is empty, last first, since interrupts and other
// programs tend to the first. With more workers than CPUs nothing is pinned.
func placement(n int, want []int) ([]int, error) {
	allowed, err := allowedCPUs()
	if err != nil {
		return nil, err
	}
	cpus := make([]int, n)
	switch {
	case len(want) > 0 && len(want) < n:
		return nil, fmt.Errorf("pin %d workers: only %d CPUs are given", n, len(want))
	case len(want) > 0:
		for i, c := range want[:n] {
			if !slices.Contains(allowed, c) {
				return nil, fmt.Errorf("pin worker %d to CPU %d: this process may run on %v only", i, c, allowed)
			}
			cpus[i] = c
		}
	case n > len(allowed):
		for i := range cpus {
			cpus[i] = -1
		}
	default:
		for i := range cpus {
			cpus[i] = allowed[len(allowed)-1-i]
		}
	}
	return cpus, nil
}

func allowedCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
		return nil, fmt.Errorf("read the process's CPU affinity: %w", err)
	}
	var cpus []int
	for c := range len(set) * strconv.IntSize {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus, nil
}

// pin locks the calling goroutine to its thread, and the thread to cpu. The
// goroutine never unlocks, so the thread ends with it and nobody inherits the
// affinity.
func pin(cpu int) error {
	runtime.LockOSThread()
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin thread to CPU %d: %w", cpu, err)
	}
	return nil
}

// reserve makes room for workers on their CPUs: the scheduler gets one processor
// more than there are workers, because even a locked thread is preempted every
// 10 ms when another goroutine wants its place (runtime/proc.go, retake), and
// all present threads move off the workers' CPUs where others are left.
func reserve(cpus []int) error {
	// Also where there are enough already: else the runtime, which follows the
	// affinity of its threads, would soon count only the CPUs that are left to them.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), len(cpus)+1))
	allowed, err := allowedCPUs()
	if err != nil {
		return err
	}
	var rest unix.CPUSet
	for _, c := range allowed {
		if !slices.Contains(cpus, c) {
			rest.Set(c)
		}
	}
	if rest.Count() == 0 || slices.Contains(cpus, -1) {
		return nil
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("list this process's threads: %w", err)
	}
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			if err := unix.SchedSetaffinity(tid, &rest); err != nil && err != unix.ESRCH {
				return fmt.Errorf("move thread %d off the workers' CPUs: %w", tid, err)
			}
		}
	}
	return nil
}
