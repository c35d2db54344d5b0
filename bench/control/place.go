package control

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/peer"
)

// place says who runs where: the daemon's worker has a CPU, and all else the others,
// or the other: the daemon keeps its own threads off its worker's CPU, and so do the
// harness, the command line and the backends. What disturbs the worker is the daemon.
type place struct{ all, worker, rest []int }

// newPlace shares out the CPUs that this process may use.
func newPlace() (place, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(os.Getpid(), &set); err != nil {
		return place{}, fmt.Errorf("ask for the CPUs: %w", err)
	}
	var all []int
	for c := 0; len(all) < set.Count(); c++ {
		if set.IsSet(c) {
			all = append(all, c)
		}
	}
	if len(all) < 2 {
		return place{}, errors.New("the daemon's worker needs a CPU of its own, and there is but one")
	}
	return place{all: all, worker: all[:1], rest: all[1:]}, nil
}

// String tells it to a reader of the results.
func (p place) String() string {
	return fmt.Sprintf("the daemon's worker on CPU %d; its other threads, the command line and the backends on CPUs %v", p.worker[0], p.rest)
}

// makeRoom takes this process, and what it starts from then on, off the worker's CPU.
func (p place) makeRoom() error { return peer.PinProcess(os.Getpid(), p.rest) }

// spread undoes it: a daemon that is started needs all CPUs to choose from.
func (p place) spread() error { return peer.PinProcess(os.Getpid(), p.all) }
