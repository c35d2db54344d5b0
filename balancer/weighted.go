package balancer

// column is one column of an alias table: Walker's method in the form of Vose, "A
// Linear Algorithm for Generating Random Numbers with a Given Distribution", 1991.
// All columns are as high as the sum of the weights; below the threshold a column
// belongs to the backend at its own index, above it to the one at alias. All
// numbers are whole, so the probabilities are exact.
type column struct {
	threshold, alias uint32
}

func newColumns(weights []uint32, total uint32) []column {
	columns := make([]column, len(weights))
	heights := make([]uint64, len(weights)) // what is not yet placed, in units of 1/n
	var low, high []uint32
	place := func(i uint32) {
		if heights[i] < uint64(total) {
			low = append(low, i)
		} else {
			high = append(high, i)
		}
	}
	for i, w := range weights {
		heights[i] = uint64(w) * uint64(len(weights))
		place(uint32(i))
	}
	for len(low) > 0 {
		// The mean height is total: with one below there is one above.
		l, h := low[len(low)-1], high[len(high)-1]
		low, high = low[:len(low)-1], high[:len(high)-1]
		columns[l] = column{threshold: uint32(heights[l]), alias: h}
		heights[h] -= uint64(total) - heights[l]
		place(h)
	}
	for _, h := range high {
		columns[h] = column{threshold: total, alias: h}
	}
	return columns
}

// weighted picks at random by weight.
func (p *Picker) weighted(s *selection) uint32 {
	i := p.below(uint32(len(s.columns)))
	if c := &s.columns[i]; p.below(s.total) >= c.threshold {
		i = c.alias
	}
	return s.ids[i]
}
