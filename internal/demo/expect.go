package demo

import (
	"fmt"
	"math"
)

// counts are answers by backend.
type counts []int

func (c counts) sum() (n int) {
	for _, k := range c {
		n += k
	}
	return n
}

// String returns the numbers alone: 20 20 20.
func (c counts) String() string {
	text := fmt.Sprint([]int(c))
	return text[1 : len(text)-1]
}

// byWeight returns n split by the backends' weights.
func byWeight(n int) counts {
	total, c := 0, make(counts, len(backends))
	for _, b := range backends {
		total += b.weight
	}
	for i, b := range backends {
		c[i] = n * b.weight / total
	}
	return c
}

// expectation is what a service's spread must be like. text says it for n
// connections; wrong says what was seen instead, or nothing. The counts are by
// client and backend, and their sums by backend.
type expectation struct {
	text  func(n int) string
	wrong func(sum counts, byClient []counts) string
}

var (
	// Each worker has a turn of its own, so each adds an incomplete one.
	evenTurns = expectation{
		func(n int) string { return fmt.Sprintf("%v +-1 a worker", even(n)) },
		func(sum counts, _ []counts) string {
			for _, k := range sum {
				for _, l := range sum {
					if k-l > queues {
						return fmt.Sprintf("expected counts at most %d apart, one a worker; saw %v", queues, sum)
					}
				}
			}
			return ""
		},
	}
	weightedTurns = near(func(int) int { return queues }, "%v +-1 a worker")

	// Five standard deviations: less than one run in a million is beyond.
	chanceByWeight = near(fiveSigma, "about %v")

	// Nothing is random about the least load, and little about the less of two.
	loadByWeight      = near(func(int) int { return 0 }, "%v")
	aboutLoadByWeight = near(func(int) int { return 8 }, "about %v")

	oneEach = expectation{
		func(int) string { return "one for each client" },
		func(_ counts, byClient []counts) string {
			for i, c := range byClient {
				used := 0
				for _, k := range c {
					used += min(k, 1)
				}
				if used != 1 {
					return fmt.Sprintf("expected one backend for client %d; saw %v", i, c)
				}
			}
			return ""
		},
	}
)

// near expects a spread by weight, each count to within slack(n).
func near(slack func(n int) int, text string) expectation {
	return expectation{
		func(n int) string { return fmt.Sprintf(text, byWeight(n)) },
		func(sum counts, _ []counts) string {
			want, off := byWeight(sum.sum()), slack(sum.sum())
			for i, k := range sum {
				if k < want[i]-off || k > want[i]+off {
					return fmt.Sprintf("expected %v, each to within %d; saw %v", want, off, sum)
				}
			}
			return ""
		},
	}
}

func even(n int) counts {
	c := make(counts, len(backends))
	for i := range c {
		c[i] = n / len(c)
	}
	return c
}

// fiveSigma returns five times the largest standard deviation that a binomial of n
// trials can have.
func fiveSigma(n int) int { return int(math.Ceil(5 * math.Sqrt(float64(n)/4))) }
