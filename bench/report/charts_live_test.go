package report

import (
	"fmt"
	"testing"

	"github.com/afxlb/afxlb/bench/result"
)

func TestLiveCharts(t *testing.T) {
	f := &result.File{}
	for round := range 3 {
		for i, c := range []struct {
			contender, mode, family string
			flows                   int
		}{
			{"afxlb", "nat", "ipv4", 1000}, {"afxlb", "nat", "ipv4", 100_000}, {"afxlb", "nat", "ipv4", 1_000_000},
			{"afxlb", "nat", "ipv6", 100_000}, {"afxlb", "dsr", "ipv4", 100_000},
			{"testpmd", "swap", "ipv4", 100_000}, {"nft", "nat", "ipv4", 1000}, {"nft", "nat", "ipv4", 100_000},
		} {
			v := float64(10-i) * 1e5 * (1 + float64(round)/20)
			f.Add(result.Sample{
				Suite: "live", Name: fmt.Sprint(c),
				Labels: map[string]string{"contender": c.contender, "mode": c.mode, "family": c.family, "flows": fmt.Sprint(c.flows), "queues": "1"},
				Values: []result.Value{{Name: "per CPU second", V: v}, {Name: "flooded: forwarded", V: v / 2}},
			})
		}
	}
	want := []string{"live-peers.svg", "live-flows.svg"}
	all := charts(f)
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
}
