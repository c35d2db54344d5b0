package control

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/egress"
)

// A tunnel needs an address to send from: the machine's own, or one that the user names.
func TestTunnelNeedsASource(t *testing.T) {
	b := addr("10.0.0.11")
	s := &balancer.ServiceSpec{Mode: balancer.IPIP}
	seen := &egress.Snapshot{Hops: map[netip.Addr]egress.Hop{b: {Via: addr("10.0.0.254"), Known: true}}}
	if why := Obstacle(seen, nil, s, b); !strings.Contains(why, "no address to send from to 10.0.0.11") {
		t.Errorf("without any: %q", why)
	}
	s.TunnelSources = []netip.Prefix{netip.MustParsePrefix("10.64.0.0/16")}
	if why := Obstacle(seen, nil, s, b); why != "" {
		t.Errorf("with the user's: %q", why)
	}
	s.TunnelSources = nil
	seen.Own = map[netip.Addr]netip.Addr{b: addr("10.0.0.1")}
	if why := Obstacle(seen, nil, s, b); why != "" {
		t.Errorf("with its own: %q", why)
	}
	o := observed{snapshot: *seen}
	k := &check{key: balancer.BackendKey{Address: b}, group: &group{spec: s}}
	if w := o.way(k, o.link.since); w.hop.Own != addr("10.0.0.1") {
		t.Errorf("the table is told of %v", w.hop.Own)
	}
}

// Errors about what is sent in tunnels are steered by the tunnels' ends.
func TestSteerTunnels(t *testing.T) {
	four, six := addr("10.0.0.11"), addr("2001:db8:10::11")
	backends := []balancer.BackendSpec{{Address: four}, {Address: six}}
	gue := balancer.GUESpec{Port: 7000}
	spec := balancer.Spec{Services: []balancer.ServiceSpec{
		{Address: addr("192.0.2.10"), Mode: balancer.IPIP, GUE: gue, Backends: backends},
		{Address: addr("2001:db8:2::10"), Mode: balancer.IPIP, Backends: backends[:1]},
		{Address: addr("192.0.2.11"), Mode: balancer.GRE, Backends: backends[1:]},
		{Address: addr("192.0.2.12"), Mode: balancer.GUE, GUE: gue, Backends: backends[:1]},
		{Address: addr("192.0.2.13"), Mode: balancer.DSR, Backends: backends},
		{Address: addr("192.0.2.14"), Mode: balancer.NAT, Backends: backends},
	}}
	want := []bpf.TunnelEnd{
		{Address: four, Protocol: 4}, {Address: six, Protocol: 4}, {Address: four, Protocol: 41},
		{Address: six, Protocol: 47}, {Address: four, Protocol: 17, Port: 7000},
	}
	if got := steer(&spec, &machine{}).Tunnels; !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}
