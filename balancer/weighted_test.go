package balancer

import (
	"testing"

	"pgregory.net/rapid"
)

// The columns of an alias table hold each backend's probability exactly: its part
// of the area is its weight times the number of columns.
func TestColumnsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.Uint32Range(1, 65535), 1, 300).Draw(t, "weights")
		total := uint32(0)
		for _, w := range weights {
			total += w
		}
		area := make([]uint64, len(weights))
		for i, c := range newColumns(weights, total) {
			if c.threshold > total {
				t.Fatalf("column %d has threshold %d over the height %d", i, c.threshold, total)
			}
			area[i] += uint64(c.threshold)
			area[c.alias] += uint64(total - c.threshold)
		}
		for i, w := range weights {
			if want := uint64(w) * uint64(len(weights)); area[i] != want {
				t.Fatalf("weight %d of %v has area %d, want %d", w, weights, area[i], want)
			}
		}
	})
}

// The largest sum of weights that there can be still fits into 32 bits.
func TestColumnsLargest(t *testing.T) {
	weights := make([]uint32, MaxBackends)
	for i := range weights {
		weights[i] = 65535
	}
	for i, c := range newColumns(weights, MaxBackends*65535) {
		if c.threshold != MaxBackends*65535 {
			t.Fatalf("column %d has threshold %d, want all of it", i, c.threshold)
		}
	}
}

func TestWeightedDistribution(t *testing.T) {
	weights := []uint16{1, 2, 3, 0, 100, 1, 43}
	probabilities := make([]float64, len(weights))
	for i, w := range weights {
		probabilities[i] = float64(w) / 150
	}
	s := onlyService(t, webSpec(Weighted, weights...))
	for worker := range 4 {
		checkDistribution(t, "weighted", picks(t, NewPicker(worker, NewLoads()), s, 50000), probabilities)
	}
}
