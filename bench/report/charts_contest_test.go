package report

import (
	"os"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/bench/result"
)

// contest is a run of latency and connections.
func contest() *result.File {
	f := &result.File{}
	for round := range 3 {
		for i, who := range []string{"straight", "afxlb busy", "nft"} {
			slow := float64(1+i) * (1 + float64(round)/10)
			values := []result.Value{
				{Name: "p99", Unit: "ns", V: 60e3 * slow}, {Name: "p50", Unit: "ns", V: 20e3 * slow},
				{Name: "p99.9", Unit: "ns", V: 200e3 * slow}, {Name: "added p99", Unit: "ns", V: 1}, {Name: "lost", V: 1},
				{Name: "p90", Unit: "ns", V: 30e3 * slow},
			}
			if round == 0 {
				values = append(values, result.Value{Name: "p99.99", Unit: "ns", V: 5e6})
			}
			f.Add(result.Sample{Suite: "latency", Name: "udp idle " + who, Labels: map[string]string{"protocol": "udp", "load": "idle", "contender": who}, Values: values})
			for _, kind := range []string{"connect", "load"} {
				values := []result.Value{{Name: "rate", V: 9e3 / slow}}
				if i > 0 {
					values = append(values, result.Value{Name: "CPU", V: 70 * slow})
				}
				f.Add(result.Sample{Suite: "connections", Name: kind + " " + who, Labels: map[string]string{"kind": kind, "contender": who}, Values: values})
			}
		}
	}
	return f
}

func TestContestCharts(t *testing.T) {
	want := []string{"latency-udp-idle.svg", "connections-new.svg", "connections-requests.svg", "connections-cpu.svg"}
	all := charts(contest())
	if len(all) != len(want) {
		t.Fatalf("%d charts, want %q", len(all), want)
	}
	for i, c := range all {
		svg := c.chart.svg()
		wellFormed(t, svg)
		if c.file != want[i] {
			t.Errorf("chart %d is %s, want %s", i, c.file, want[i])
		}
		golden(t, c.file, svg)
	}
	// The wire by itself costs no balancer anything.
	if svg := all[3].chart.svg(); strings.Contains(svg, "straight") || !strings.Contains(svg, ">nft<") {
		t.Errorf("who is in the chart of the cost:\n%s", svg)
	}
}

func TestDistribution(t *testing.T) {
	got := distribution(contest().Cases[0])
	want := []point{{2, 22, 20, 24}, {10, 33, 30, 36}, {100, 66, 60, 72}, {1000, 220, 200, 240}, {10000, 5000, 5000, 5000}}
	if len(got) != len(want) {
		t.Fatalf("%v, want %v", got, want)
	}
	for i, p := range got {
		for _, pair := range [][2]float64{{p.x, want[i].x}, {p.y, want[i].y}, {p.min, want[i].min}, {p.max, want[i].max}} {
			if d := pair[0] - pair[1]; d > pair[1]/1e6 || d < -pair[1]/1e6 {
				t.Errorf("point %d is %v, want %v", i, p, want[i])
			}
		}
	}
	for x, want := range map[float64]string{1: "0", 2: "50", 10: "90", 100: "99", 1000: "99.9", 10000: "99.99"} {
		if got := percent(x); got != want {
			t.Errorf("one of %v is beyond %s %%, want %s", x, got, want)
		}
	}
}

// A logarithmic axis has no place for nothing, and needs none.
func TestLogarithmicBounds(t *testing.T) {
	for _, y := range []float64{0, 0.001, 1, 10, 99, 1e6} {
		c := chart{logY: true, lines: []series{{name: "s", points: []point{{1, y, y, y}, {1000, 2 * y, y / 3, 2 * y}}}}}
		svg := c.svg()
		wellFormed(t, svg)
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") || strings.Contains(svg, `cy="-`) {
			t.Errorf("value %v: %s", y, svg)
		}
	}
}

// What the page says below its plots is about what is in them.
func TestPageWithoutKatran(t *testing.T) {
	path, err := Write(t.TempDir(), contest())
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(page), "Katran") || strings.Count(string(page), "<svg ") != 4 {
		t.Errorf("%d plots, and Katran: %v", strings.Count(string(page), "<svg "), strings.Contains(string(page), "Katran"))
	}
}
