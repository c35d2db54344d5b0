package peer

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Memory returns the bytes of memory that the program itself has resident, and the
// most that it had so far.
func (p *Process) Memory() (resident, peak uint64, err error) {
	if err := p.Err(); err != nil {
		return 0, 0, err
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err == nil {
		resident, err = kilobytes(string(text), "VmRSS:")
	}
	if err == nil {
		peak, err = kilobytes(string(text), "VmHWM:")
	}
	if err != nil {
		return 0, 0, fmt.Errorf("ask for the memory of %s: %w", p.name, err)
	}
	return resident, peak, nil
}

// kilobytes returns a line's value of proc_pid_status(5) in bytes.
func kilobytes(status, key string) (uint64, error) {
	for line := range strings.Lines(status) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == key {
			n, err := strconv.ParseUint(f[1], 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no line %s", key)
}
