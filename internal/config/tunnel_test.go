package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/balancer"
)

// What a tunnel's keys mean, and what they are where nothing is said.
func TestTunnelKeys(t *testing.T) {
	prefix := netip.MustParsePrefix
	for _, test := range []struct {
		keys    string
		gue     balancer.GUESpec
		sources []netip.Prefix
		via     bool
	}{
		{"mode: ipip", balancer.GUESpec{}, nil, false},
		{"mode: gre, tunnel-source: auto, health: {via: direct}", balancer.GUESpec{}, nil, false},
		{"mode: gue", balancer.GUESpec{Port: 6080, Variant: 1}, nil, false},
		{"mode: gue, gue: {variant: 0}", balancer.GUESpec{Port: 6080}, nil, false},
		{"gue: {port: 5555, checksum: true}, mode: gue", balancer.GUESpec{Port: 5555, Variant: 1, Checksum: true}, nil, false},
		{"mode: ipip, tunnel-source: 10.0.0.1, health: {via: tunnel}", balancer.GUESpec{}, []netip.Prefix{prefix("10.0.0.1/32")}, true},
		{`mode: ipip, tunnel-source: [10.64.3.0/16, "2001:db8:64::/64"]`, balancer.GUESpec{}, []netip.Prefix{prefix("10.64.0.0/16"), prefix("2001:db8:64::/64")}, false},
	} {
		s := parseServices(t, "services: [{name: a, address: 192.0.2.1, port: 80, backends: [], "+test.keys+"}]")[0]
		if s.GUE != test.gue || s.Health.ViaTunnel != test.via || cmp.Diff(s.TunnelSources, test.sources, compareAddresses) != "" {
			t.Errorf("%s: gue %+v, sources %v, via a tunnel %t", test.keys, s.GUE, s.TunnelSources, s.Health.ViaTunnel)
		}
	}
}
