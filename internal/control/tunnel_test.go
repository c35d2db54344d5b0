package control

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/balancer"
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
