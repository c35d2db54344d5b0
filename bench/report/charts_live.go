package report

import "github.com/afxlb/afxlb/bench/result"

// liveCharts plots what whole balancers forward: all of them under the load that they
// are compared by, and those that have flows by their number.
func liveCharts(f *result.File) []figure {
	var all []figure
	peers := bars{title: "Packets forwarded, 64 bytes, 100 k flows, one queue", y: "packets"}
	for _, s := range []struct{ name, figure string }{
		{"per CPU second, own pace", "per CPU second"}, {"per second, flooded", "flooded: forwarded"},
	} {
		peers.add(s.name, f, s.figure, func(k *result.Case) bool {
			return k.Suite == "live" && k.Labels["mode"] != "dsr" && has(k.Labels, map[string]string{"flows": "100000", "family": "ipv4", "queues": "1"})
		})
	}
	if len(peers.groups) > 0 {
		all = append(all, figure{"live-peers.svg", &peers})
	}
	flows := chart{title: "Packets forwarded for a second of CPU time, nat, ipv4", x: "flows", y: "packets"}
	for _, contender := range []string{"afxlb", "nft"} {
		labels := map[string]string{"contender": contender, "mode": "nat", "family": "ipv4", "queues": "1"}
		if points := flowSeries(f, labels, "per CPU second"); len(points) > 1 {
			flows.lines = append(flows.lines, series{name: contender, points: points})
		}
	}
	if len(flows.lines) > 0 {
		all = append(all, figure{"live-flows.svg", &flows})
	}
	return all
}
