package peer

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Favour gives all threads of the program and its children the highest priority that
// ordinary threads have: where others work in the kernel's own threads, what else the
// machine does must not fall on this one alone.
func (p *Process) Favour() error {
	for _, pid := range p.family() {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		for _, task := range tasks {
			tid, err := strconv.Atoi(filepath.Base(task))
			if err != nil {
				return fmt.Errorf("read thread id: %w", err)
			}
			if err := unix.Setpriority(unix.PRIO_PROCESS, tid, -20); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("favour thread %d of %s: %w", tid, p.name, err)
			}
		}
	}
	return nil
}
