package control

import (
	"reflect"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/packet"
)

// A next hop that the user names is by a port that is served and up, or not at all.
func TestStaticHopByPort(t *testing.T) {
	o := observed{snapshot: egress.Snapshot{Ports: []egress.Port{{Name: "eth0", Up: true}, {Name: "eth1", Up: true}, {Name: "eth2", Why: "no carrier"}}}}
	mac := packet.MAC{2, 0, 0, 0, 0, 1}
	for port, want := range map[string]way{
		"":     {hop: balancer.NextHop{MAC: mac, OnLink: true}, known: true},
		"eth0": {hop: balancer.NextHop{MAC: mac, OnLink: true}, known: true},
		"eth1": {hop: balancer.NextHop{MAC: mac, OnLink: true, Link: balancer.Link{Port: 1}}, known: true},
		"eth2": {reason: "eth2: no carrier"},
		"eth3": {reason: "neighbours has it by eth3, which is not served"},
	} {
		if got := o.static(&balancer.StaticHop{MAC: mac, Port: port}); !reflect.DeepEqual(got, want) {
			t.Errorf("by %q: %+v, want %+v", port, got, want)
		}
	}
}
