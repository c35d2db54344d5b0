package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/afxlb/afxlb/bench/result"
)

// latencyCharts plots the distribution of what answers took: one chart a protocol and
// load, one line a contender.
func latencyCharts(f *result.File) []figure {
	loads := map[string]string{"idle": "idle wire", "half": "at half of what each carries"}
	var all []figure
	for _, protocol := range []string{"udp", "tcp"} {
		for _, load := range []string{"idle", "half"} {
			c := chart{
				title: fmt.Sprintf("Time to an answer, %s, %s", strings.ToUpper(protocol), loads[load]),
				x:     "of all answers, %", y: "µs", logY: true, tick: percent,
			}
			for _, k := range f.Cases {
				if k.Suite == "latency" && has(k.Labels, map[string]string{"protocol": protocol, "load": load}) {
					c.lines = append(c.lines, series{name: k.Labels["contender"], points: distribution(k)})
				}
			}
			if len(c.lines) > 0 {
				all = append(all, figure{fmt.Sprintf("latency-%s-%s.svg", protocol, load), &c})
			}
		}
	}
	return all
}

// distribution returns a case's percentiles, in µs, by how rare the answers beyond
// them are: one of ten, of a hundred, ...
func distribution(c *result.Case) []point {
	var points []point
	for _, g := range c.Figures {
		text, ok := strings.CutPrefix(g.Name, "p")
		p, err := strconv.ParseFloat(text, 64)
		if !ok || err != nil || p >= 100 {
			continue
		}
		s := g.Spread()
		points = append(points, point{100 / (100 - p), s.Median / 1e3, s.Min / 1e3, s.Max / 1e3})
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	return points
}

// percent writes the percentile that one of x answers lies beyond.
func percent(x float64) string {
	return strconv.FormatFloat(math.Round(1e6*(100-100/x))/1e6, 'f', -1, 64)
}
