package report

import (
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/metrics"
)

// Latency returns how long packets took through the workers, over all of them.
func (s *Source) Latency() metrics.Latency {
	in, bounds := s.Engine.Info(), engine.LatencyBounds()
	return metrics.Latency{Bounds: bounds[:], Counts: in.Total.Latency.Packets[:], Sum: in.Total.Latency.Sum}
}
