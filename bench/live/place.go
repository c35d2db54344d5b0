package live

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// place says which CPUs, by queue, contenders and the load are on.
type place struct{ balancer, load []int }

// errCrowded is a machine with too few CPUs for what is to be measured.
var errCrowded = errors.New("too few CPUs")

// newPlace shares CPUs out: one a queue to the balancer, and one a queue to the load. A
// frame arrives at the queue that its sender's CPU belongs to, modulo their number.
func newPlace(cpus []int, queues int) (place, error) {
	if len(cpus) < 2*queues {
		return place{}, fmt.Errorf("%w: %d queues need %d, half for the load, and there are %d: workers and load would only be in each other's way", errCrowded, queues, 2*queues, len(cpus))
	}
	p := place{balancer: cpus[:queues]}
	for q := range queues {
		for _, c := range cpus[queues:] {
			if c%queues == q && len(p.load) == q {
				p.load = append(p.load, c)
			}
		}
	}
	if len(p.load) < queues {
		return place{}, fmt.Errorf("%w: of %v, none that is left has frames arrive at queue %d of %d", errCrowded, cpus, len(p.load), queues)
	}
	return p, nil
}

// cpus returns those that this process may use.
func cpus() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("ask for the CPUs: %w", err)
	}
	var all []int
	for c := 0; len(all) < set.Count(); c++ {
		if set.IsSet(c) {
			all = append(all, c)
		}
	}
	return all, nil
}
