package live

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// place says which CPUs, by queue, contenders and the load are on.
type place struct{ balancer, load []int }

// newPlace shares the CPUs that this process may use out. With too few for two queues,
// workers and generators share them.
func newPlace(queues int) (place, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return place{}, fmt.Errorf("ask for the CPUs: %w", err)
	}
	var all []int
	for c := 0; len(all) < set.Count(); c++ {
		if set.IsSet(c) {
			all = append(all, c)
		}
	}
	switch {
	case len(all) < 2 || len(all) < queues:
		return place{}, fmt.Errorf("there are %d CPUs: the balancer and the load need one each", len(all))
	case len(all) < 2*queues:
		return place{all[:queues], all[:queues]}, nil
	}
	// A frame arrives at the queue that its sender's CPU belongs to.
	p := place{balancer: all[:queues]}
	for _, c := range all[queues:] {
		if len(p.load) < queues && c%queues == len(p.load) {
			p.load = append(p.load, c)
		}
	}
	if len(p.load) < queues {
		return place{}, fmt.Errorf("no CPUs for the load of %d queues among %v", queues, all)
	}
	return p, nil
}

// crowded reports whether contender and load share CPUs.
func (p place) crowded() bool { return p.balancer[0] == p.load[0] }
