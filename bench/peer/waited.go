package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Waited returns how long the program's threads that are pinned to one CPU have waited
// there for others to make room, and how often they have run: what a thread cannot help.
func (p *Process) Waited(cpu int) (waited time.Duration, runs uint64, err error) {
	if err := p.Err(); err != nil {
		return 0, 0, err
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", p.cmd.Process.Pid))
	found := false
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			return 0, 0, fmt.Errorf("read thread id: %w", err)
		}
		var set unix.CPUSet
		if unix.SchedGetaffinity(tid, &set) != nil || set.Count() != 1 || !set.IsSet(cpu) {
			continue // ended, or another
		}
		// Documentation/scheduler/sched-stats.rst: time on the CPU, time waiting to
		// run, both in ns, and how many times it has run.
		text, err := os.ReadFile(filepath.Join(task, "schedstat"))
		if err != nil {
			return 0, 0, fmt.Errorf("ask how long %s has waited: %w", p.name, err)
		}
		var ran, wait, n uint64
		if _, err := fmt.Sscan(string(text), &ran, &wait, &n); err != nil {
			return 0, 0, fmt.Errorf("ask how long %s has waited: read %q: %w", p.name, text, err)
		}
		waited, runs, found = waited+time.Duration(wait), runs+n, true
	}
	if !found {
		return 0, 0, fmt.Errorf("ask how long %s has waited: no thread of it is pinned to CPU %d", p.name, cpu)
	}
	return waited, runs, nil
}
