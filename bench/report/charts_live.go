package report

import "github.com/afxlb/afxlb/bench/result"

// liveCharts plots what whole balancers forward.
func liveCharts(f *result.File) []figure {
	var all []figure
	for _, l := range []struct{ figure, title, file string }{
		{"per CPU second", "Packets forwarded for a second of CPU time, at its own pace", "live-cpu.svg"},
		{"flooded: forwarded", "Packets forwarded a second, flooded", "live-flooded.svg"},
	} {
		c := bars{title: l.title + " (64-byte frames, one queue)", y: "packets"}
		for _, k := range f.Cases {
			g := k.Figure(l.figure)
			if k.Suite != "live" || g == nil || k.Labels["queues"] != "1" {
				continue
			}
			v := g.Spread()
			c.put(liveSeries(k), k.Labels["contender"], bar{v.Median, v.Min, v.Max})
		}
		if len(c.groups) > 0 {
			all = append(all, figure{l.file, &c})
		}
	}
	return all
}

// liveSeries names a case without its contender.
func liveSeries(k *result.Case) string {
	if k.Labels["mode"] == "swap" {
		return "MAC addresses swapped"
	}
	return k.Labels["mode"] + " " + k.Labels["family"] + ", " + short(number64(k.Labels["flows"])) + " flows"
}
