package control

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/packet"
)

// A next hop that the user names is by a port that is served and up, or not at all.
func TestStaticHopByPort(t *testing.T) {
	a, own, mac := addr("10.0.0.11"), addr("10.0.0.1"), packet.MAC{2, 0, 0, 0, 0, 1}
	snapshot := egress.Snapshot{
		Named: []string{"eth0", "eth1", "eth2", "bond0", "bond1"},
		Ports: []egress.Port{{Name: "eth0", Up: true}, {Name: "eth1", Up: true}, {Name: "eth2", Why: "no carrier"}, {}, {Name: "eth4", Up: true}},
		Bonds: []egress.Bond{{Name: "bond0", Ports: []int{4}}, {Name: "bond1", Why: "bond1 has no active slave"}},
		Hops:  map[netip.Addr]egress.Hop{a: {Why: "no route"}},
		Own:   map[netip.Addr]netip.Addr{a: own},
	}
	hop := func(port uint8) way {
		return way{hop: balancer.NextHop{MAC: mac, OnLink: true, Own: own, Link: balancer.Link{Port: port}}, known: true}
	}
	for name, test := range map[string]struct {
		port string
		mode balancer.Mode
		want way
	}{
		"none":       {"", balancer.NAT, hop(0)},
		"the first":  {"eth0", balancer.DSR, hop(0)},
		"another":    {"eth1", balancer.IPIP, hop(1)},
		"down":       {"eth2", balancer.NAT, way{reason: "eth2: no carrier"}},
		"a bond":     {"bond0", balancer.NAT, hop(4)},
		"no slave":   {"bond1", balancer.NAT, way{reason: "bond1 has no active slave"}},
		"not served": {"eth3", balancer.NAT, way{reason: "neighbours has it by eth3, which is not served"}},
	} {
		k := &check{key: balancer.BackendKey{Address: a}, group: &group{
			spec: &balancer.ServiceSpec{Mode: test.mode}, static: map[netip.Addr]balancer.StaticHop{a: {MAC: mac, Port: test.port}},
		}}
		o := observed{snapshot: snapshot}
		if got := o.way(k, time.Time{}); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
	// Without a name it is the first of what is named, wherever that has its numbers.
	snapshot.Named = []string{"bond0", "eth0"}
	if i, why := staticPort(&balancer.StaticHop{MAC: mac}, &snapshot); i != 4 || why != "" {
		t.Errorf("by the first: %d, %q", i, why)
	}
	// A tunnel comes from somewhere, whoever names its next hop.
	k := &check{key: balancer.BackendKey{Address: a}, group: &group{
		spec: &balancer.ServiceSpec{Mode: balancer.GRE}, static: map[netip.Addr]balancer.StaticHop{a: {MAC: mac}},
	}}
	if got := new(observed).way(k, time.Time{}); got.reason == "" || got.known {
		t.Errorf("without an own address: %+v", got)
	}
}

// Of a route with several next hops none counts when the user names one.
func TestStaticHopAmongSeveral(t *testing.T) {
	a, mac := addr("10.0.0.11"), packet.MAC{2, 0, 0, 0, 0, 1}
	several := []egress.Hop{{Known: true, MAC: [6]byte{2, 1}}, {Known: true, MAC: [6]byte{2, 2}}}
	for _, named := range []bool{false, true} {
		spec := webSpec()
		spec.Services[0].Backends = spec.Services[0].Backends[:1]
		if named {
			spec.Neighbours = map[netip.Addr]balancer.StaticHop{a: {MAC: mac}}
		}
		o := observed{link: link{up: true}, snapshot: egress.Snapshot{
			Hops: map[netip.Addr]egress.Hop{a: several[0]}, Ways: map[netip.Addr][]egress.Hop{a: several},
		}}
		facts := o.assess(o.regroup(&spec, nil, time.Time{}), time.Time{}).facts
		if got := len(facts.Ways[a]); got != map[bool]int{false: 2, true: 0}[named] {
			t.Errorf("named %v: %d ways", named, got)
		}
		if named && facts.NextHops[a].MAC != mac {
			t.Errorf("%+v", facts.NextHops[a])
		}
	}
}
