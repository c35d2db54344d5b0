package peer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the CPU time of the program with all of its threads, those that have
// ended too, and of its children that live.
func (p *Process) CPU() (time.Duration, error) {
	if err := p.Err(); err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, pid := range p.family() {
		t, err := CPUOf(pid)
		if err != nil {
			return 0, fmt.Errorf("ask for the CPU time of %s: %w", p.name, err)
		}
		sum += t
	}
	return sum, nil
}

// CPUOf returns the CPU time of a process, or of a thread of the kernel, by its
// CPU-time clock: that counts the nanoseconds in the scheduler, for all threads at
// once. Its number is made of the id, as clock_getcpuclockid(3) does
// (include/linux/posix-timers_types.h).
func CPUOf(pid int) (time.Duration, error) {
	const sched = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return 0, fmt.Errorf("read the CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// family returns the ids of the program and of its children, and theirs.
func (p *Process) family() []int {
	all := []int{p.cmd.Process.Pid}
	for i := 0; i < len(all); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", all[i]))
		for _, list := range lists {
			text, err := os.ReadFile(list)
			if err != nil {
				continue // ended
			}
			for _, word := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(word); err == nil {
					all = append(all, pid)
				}
			}
		}
	}
	return all
}

// pin leaves only these CPUs to the program and its children.
func (p *Process) pin(cpus []int) error {
	for _, pid := range p.family() {
		if err := PinProcess(pid, cpus); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// PinProcess leaves only these CPUs to all threads of a process. It looks again until
// none is new: a thread inherits from the one that has made it.
func PinProcess(pid int, cpus []int) error {
	done := map[string]bool{}
	for found := true; found; {
		found = false
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, task := range tasks {
			if done[task] {
				continue
			}
			done[task], found = true, true
			tid, err := strconv.Atoi(filepath.Base(task))
			if err != nil {
				return fmt.Errorf("read thread id: %w", err)
			}
			if err := PinThread(tid, cpus); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// PinThread leaves only these CPUs to a thread; 0 is the calling one.
func PinThread(tid int, cpus []int) error {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(tid, &set); err != nil {
		return fmt.Errorf("pin thread %d to CPUs %v: %w", tid, cpus, err)
	}
	return nil
}
