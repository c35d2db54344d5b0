package report

import (
	"strings"
	"testing"
)

func TestBars(t *testing.T) {
	c := bars{
		title: "New connections", y: "a second",
		groups: []string{"afxlb", "nft", "nginx"},
		series: []barSeries{
			{"one CPU", []bar{{21_000, 20_000, 23_500}, {18_000, 18_000, 18_000}, {}}},
			{"two CPUs", []bar{{40_000, 35_000, 41_000}, {36_000, 30_000, 37_000}, {9_000, 8_000, 9_500}}},
		},
	}
	svg := c.svg()
	wellFormed(t, svg)
	golden(t, "bars.svg", svg)
}

// Whatever is drawn is inside of the sheet, also when there is nothing.
func TestBarsBounds(t *testing.T) {
	for _, y := range []float64{0, 0.001, 1, 99, 101, 1e6} {
		c := bars{title: `<"&`, groups: []string{"<g>"}, series: []barSeries{{"<s>", []bar{{y, y / 2, y}}}}}
		svg := c.svg()
		wellFormed(t, svg)
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || strings.Contains(svg, `="-`) {
			t.Errorf("value %v: %s", y, svg)
		}
	}
	wellFormed(t, (&bars{}).svg())
}
