package engine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrPlacement says that the workers can't have the CPUs that were asked for.
var ErrPlacement = errors.New("no such placement of workers")

// Placement decides on which CPU each of n workers runs: the i-th of want, or of
// the allowed ones when want is empty, last first, since interrupts and other
// programs tend to the first. With more workers than CPUs nothing is pinned, and each is
// -1. The error is [ErrPlacement] if they can't have the CPUs that are wanted.
func Placement(n int, want []int) ([]int, error) {
	allowed, err := allowedCPUs()
	if err != nil {
		return nil, err
	}
	cpus := make([]int, n)
	switch {
	case len(want) > 0 && len(want) < n:
		return nil, fmt.Errorf("pin %d workers to CPUs %v: %w: each needs one", n, want, ErrPlacement)
	case len(want) > 0:
		for i, c := range want[:n] {
			if !slices.Contains(allowed, c) {
				return nil, fmt.Errorf("pin worker %d to CPU %d: %w: this process may run on %v only", i, c, ErrPlacement, allowed)
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
// affinity. With a negative cpu it may run on all that are allowed: the thread that it
// comes from may have been moved off the workers' CPUs.
func pin(cpu int, allowed []int) error {
	runtime.LockOSThread()
	cpus := allowed
	if cpu >= 0 {
		cpus = []int{cpu}
	}
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin thread to CPUs %v: %w", cpus, err)
	}
	return nil
}

// spareProcessors are the scheduler's for all that is no worker: so many goroutines may
// be at work before one of them takes a worker's place. It was measured with 20,000
// backends whose states and weights changed, on two CPUs: with one to spare a hundredth
// of the echo requests was answered 2.2 ms late, with seven 0.25 ms.
const spareProcessors = 7

// makeRoom gives the scheduler enough processors for so many workers, also where it has
// them already: else the runtime, which follows the affinity of its threads, would soon
// count only the CPUs that are left to them.
func makeRoom(workers int) {
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), workers+spareProcessors))
}

// reserve makes room for workers on their CPUs: the scheduler gets more processors
// than there are workers, because even a locked thread is preempted every 10 ms when
// another goroutine wants its place, and loses it while it sleeps in a system call
// (runtime/proc.go, retake and exitsyscall); and all present threads move off the
// workers' CPUs where others are left, so that these do not run more at a time.
func reserve(cpus []int) error {
	makeRoom(len(cpus))
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
	// Threads that are made meanwhile have the CPUs of who makes them, and one may be on
	// its way while the others are listed: it is done when nobody is found twice in a row.
	for clean := 0; clean < 2; clean++ {
		moved, err := move(&rest)
		if err != nil {
			return err
		}
		if moved {
			clean = -1
		}
	}
	return nil
}

// move moves all present threads to the CPUs, and reports whether any was elsewhere.
func move(cpus *unix.CPUSet) (moved bool, err error) {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return false, fmt.Errorf("list this process's threads: %w", err)
	}
	for _, t := range tasks {
		tid, err := threadID(t.Name())
		if err != nil {
			continue // it has ended meanwhile
		}
		var has unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &has); err != nil || has == *cpus {
			continue
		}
		if err := unix.SchedSetaffinity(tid, cpus); err != nil && err != unix.ESRCH {
			return moved, fmt.Errorf("move thread %d off the workers' CPUs: %w", tid, err)
		}
		moved = true
	}
	return moved, nil
}

// threadID returns the id by which this process may address its thread of that name in
// /proc: where /proc is of another PID namespace than the process, the names are that
// one's, and NSpid has the process's own last (proc_pid_status(5)).
func threadID(name string) (int, error) {
	status, err := os.ReadFile("/proc/self/task/" + name + "/status")
	if err != nil {
		return 0, err
	}
	_, ids, ok := strings.Cut(string(status), "\nNSpid:")
	if !ok {
		return strconv.Atoi(name)
	}
	ids, _, _ = strings.Cut(ids, "\n")
	fields := strings.Fields(ids)
	return strconv.Atoi(fields[len(fields)-1])
}
