package daemon

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// minProbes in flight are few enough for any machine, and still probe a hundred
	// backends that do not answer within some seconds.
	minProbes = 8
	// maxProbes in flight are more than a network needs to be asked at once.
	maxProbes = 256
	// spare descriptors are for the control socket's clients, the neighbour watcher,
	// and what the Go runtime and libraries open for a moment.
	spare = 16
)

// probesInFlight returns how many probes may be under way at a time, so that they
// never take the descriptors that serving needs. The error names a limit that is too
// low for serving with any probes at all.
func probesInFlight(serving, queues int) (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit on open files: %w", err)
	}
	open, err := openDescriptors()
	if err != nil {
		return 0, err
	}
	need := open + serving + spare
	if limit.Cur < uint64(need+minProbes) {
		return 0, MachineError{Err: fmt.Errorf("the limit on open files is too low: RLIMIT_NOFILE is %d, and %d queues with their probes take %d: raise it, by ulimit -n or LimitNOFILE=",
			limit.Cur, queues, need+minProbes)}
	}
	return int(min(limit.Cur-uint64(need), maxProbes)), nil
}

func openDescriptors() (int, error) {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, fmt.Errorf("count open files: %w", err)
	}
	return len(list), nil
}
