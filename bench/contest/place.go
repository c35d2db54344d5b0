package contest

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// place says who runs where: the balancer on a CPU of its own, and clients and servers
// on the others, or on the other: with two CPUs they share it.
type place struct {
	balancer       []int
	ends           []int
	client, server []int // of ends
}

// newPlace shares out the CPUs that this process may use.
func newPlace() (place, error) {
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
	if len(all) < 2 {
		return place{}, fmt.Errorf("the balancer needs a CPU of its own, and there is but one")
	}
	ends := all[1:]
	return place{balancer: all[:1], ends: ends, server: ends[:1], client: ends[len(ends)-1:]}, nil
}

// String tells it to a reader of the results.
func (p place) String() string {
	return fmt.Sprintf("the balancer, with the packets that arrive for it, on CPU %d, the client on %d, the server on %d", p.balancer[0], p.client[0], p.server[0])
}

// mask writes CPUs as sysfs takes them: words of 32 in hexadecimal, the highest first.
func mask(cpus []int) string {
	var words []uint32
	for _, c := range cpus {
		for len(words) <= c/32 {
			words = append(words, 0)
		}
		words[c/32] |= 1 << (c % 32)
	}
	var b strings.Builder
	for i := len(words) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "%08x", words[i])
		if i > 0 {
			b.WriteByte(',')
		}
	}
	return b.String()
}
