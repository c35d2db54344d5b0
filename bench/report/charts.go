package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/afxlb/afxlb/bench/result"
)

// figure is a chart with the name of its file.
type figure struct {
	file  string
	chart interface{ svg() string }
}

// charts returns the plots that the file has cases for. Those of further suites join
// here.
func charts(f *result.File) []figure {
	var all []figure
	for _, mode := range []string{"nat", "dsr"} {
		for _, family := range []string{"ipv4", "ipv6"} {
			if c, ok := againstFlows(f, mode, family); ok {
				all = append(all, figure{fmt.Sprintf("engine-%s-%s.svg", mode, family), &c})
			}
		}
	}
	return slices.Concat(all, liveCharts(f), latencyCharts(f), connectionCharts(f))
}

// againstFlows plots what a packet costs the engine, the reference and Katran by the
// number of flows.
func againstFlows(f *result.File, mode, family string) (chart, bool) {
	c := chart{
		title: fmt.Sprintf("Whole pass, %s, %s, known flows in random order", mode, family),
		x:     "flows", y: "ns per packet, one core",
	}
	for _, l := range []struct{ sizes, figure, name string }{
		{"64B", "pass", "afxlb, 64-byte frames"},
		{"IMIX", "pass", "afxlb, IMIX"},
		{"64B", "map lookup", "Go map, the lookup alone"},
	} {
		if s := flowSeries(f, map[string]string{"mode": mode, "family": family, "sizes": l.sizes, "new": "0", "workers": "1"}, l.figure); len(s) > 0 {
			c.lines = append(c.lines, series{name: l.name, points: s})
		}
	}
	if len(c.lines) == 0 {
		return c, false
	}
	c.lines = append(c.lines, katran...)
	return c, true
}

// flowSeries returns a figure of the cases with these labels, by their flows.
func flowSeries(f *result.File, labels map[string]string, name string) []point {
	var points []point
	for _, c := range f.Cases {
		g := c.Figure(name)
		if g == nil || !has(c.Labels, labels) {
			continue
		}
		if flows, err := strconv.ParseFloat(c.Labels["flows"], 64); err == nil && flows > 0 {
			s := g.Spread()
			points = append(points, point{flows, s.Median, s.Min, s.Max})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	return points
}

func has(labels, want map[string]string) bool {
	for k, v := range want {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// katran is what Facebook's in-kernel balancer costs a packet (IPIP over IPv4, LRU hits,
// uniform random flows, by BPF_PROG_TEST_RUN less its frame), measured on a machine like
// the one that this project was built on: 2 cores, kernel 6.18. It is not of this run.
var katran = []series{
	{name: "Katran TCP *", dashed: true, points: []point{{1e3, 124, 0, 0}, {1e5, 361, 0, 0}, {1e6, 449, 0, 0}}},
	{name: "Katran UDP *", dashed: true, points: []point{{1e3, 154, 0, 0}, {1e5, 429, 0, 0}, {1e6, 514, 0, 0}}},
}

// katranNote stands below every plot that has Katran in it.
const katranNote = "* measured on a like machine (2 cores, kernel 6.18), not in this run: the BPF program alone, IPIP over IPv4, random flows that hit its LRU"
