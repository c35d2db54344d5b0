package daemon

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/internal/doctor"
)

const (
	// minProbes in flight are few enough for any machine, and still probe a hundred
	// backends that do not answer within some seconds.
	minProbes = 8
	// maxProbes in flight are more than a network needs to be asked at once.
	maxProbes = 256
	// minClients and maxClients have a connection to the control socket at a time.
	minClients, maxClients = 8, 80
	// minWeb and maxWeb have one to the page and the metrics.
	minWeb, maxWeb = 4, 64
	// portSpare descriptors are for the watcher of an interface.
	portSpare = 5
	// spare descriptors are for the watcher of the ways (five), the two packet sockets of
	// half-open probes, the page's listener, and what the Go runtime and libraries open for a
	// moment.
	spare = 11
)

// shares are how many descriptors may be used for what, so that what is many never
// takes those that serving needs.
type shares struct{ probes, clients, web int }

// share shares out what the limit on open files leaves beside those for serving interfaces. The
// error names a limit that is too low for serving with any probes and clients at all.
func share(serving, ports, queues int) (shares, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return shares{}, fmt.Errorf("read the limit on open files: %w", err)
	}
	open, err := openDescriptors()
	if err != nil {
		return shares{}, err
	}
	need := open + serving + spare + ports*portSpare
	if limit.Cur < uint64(need+minProbes+minClients+minWeb) {
		return shares{}, doctor.MachineError{Err: fmt.Errorf("the limit on open files is too low: RLIMIT_NOFILE is %d, and %d queues with their probes take %d: "+
			"raise it, by ulimit -n or LimitNOFILE=", limit.Cur, queues, need+minProbes+minClients+minWeb)}
	}
	left := int(min(limit.Cur-uint64(need), maxProbes+maxClients+maxWeb))
	clients, web := min(max(left/4, minClients), maxClients), min(max(left/6, minWeb), maxWeb)
	return shares{min(left-clients-web, maxProbes), clients, web}, nil
}

func openDescriptors() (int, error) {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0, fmt.Errorf("count open files: %w", err)
	}
	return len(list), nil
}
