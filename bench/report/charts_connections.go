package report

import "github.com/afxlb/afxlb/bench/result"

// connectionCharts plots what contenders carry, and what it costs.
func connectionCharts(f *result.File) []figure {
	kinds := []struct{ kind, name, file string }{
		{"connect", "New connections", "connections-new.svg"}, {"load", "Requests on kept connections", "connections-requests.svg"},
	}
	var all []figure
	cost := bars{title: "CPU time of the balancer", y: "CPU seconds a million"}
	for _, k := range kinds {
		rate := bars{title: k.name, y: "a second"}
		pick := func(c *result.Case) bool { return c.Suite == "connections" && c.Labels["kind"] == k.kind }
		rate.add("rate", f, "rate", pick)
		cost.add(k.name, f, "CPU", pick)
		if len(rate.groups) > 0 {
			all = append(all, figure{k.file, &rate})
		}
	}
	if len(cost.groups) > 0 {
		all = append(all, figure{"connections-cpu.svg", &cost})
	}
	return all
}

// add adds a series: one figure of each contender, from its case that is picked.
func (c *bars) add(name string, f *result.File, figure string, pick func(*result.Case) bool) {
	s := barSeries{name: name}
	for _, k := range f.Cases {
		g := k.Figure(figure)
		if g == nil || !pick(k) {
			continue
		}
		at := c.group(k.Labels["contender"])
		for len(s.values) <= at {
			s.values = append(s.values, bar{})
		}
		v := g.Spread()
		s.values[at] = bar{v.Median, v.Min, v.Max}
	}
	if len(s.values) > 0 {
		c.series = append(c.series, s)
	}
}

// group returns the place of a group, at the end if it is new.
func (c *bars) group(name string) int {
	for i, g := range c.groups {
		if g == name {
			return i
		}
	}
	c.groups = append(c.groups, name)
	return len(c.groups) - 1
}
