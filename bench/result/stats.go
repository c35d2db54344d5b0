package result

import "slices"

// Spread is the values of a figure in short. The median is what to quote; machines
// are noisy, and the ends say how much.
type Spread struct{ Median, Min, Max float64 }

// Spread returns the figure's spread over its rounds; all zero without any.
func (g *Figure) Spread() Spread {
	n := len(g.Values)
	if n == 0 {
		return Spread{}
	}
	v := slices.Sorted(slices.Values(g.Values))
	return Spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1]}
}

// Overlaps reports whether some round of each could have been a round of the other:
// then a difference of the medians may be noise.
func (s Spread) Overlaps(o Spread) bool { return s.Min <= o.Max && o.Min <= s.Max }
