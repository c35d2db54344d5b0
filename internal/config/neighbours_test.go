package config

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

func TestNeighbours(t *testing.T) {
	c, err := Parse("f", []byte(`
neighbours:
  10.0.0.11: 02:00:00:00:00:0b
  "10.0.0.12": &twelve {mac: 02-00-00-00-00-0C, port: eth1, tags: [100], mtu: 1400}
  2001:db8::11: {tags: [802.1ad:7, 8], mac: 02:00:00:00:00:0d}
  ::ffff:10.0.0.13: *twelve
services: []
`))
	if err != nil {
		t.Fatal(err)
	}
	twelve := balancer.StaticHop{MAC: packet.MAC{2, 0, 0, 0, 0, 12}, Port: "eth1", Tags: packet.Tags{packet.NewTag(100)}, MTU: 1400}
	want := map[netip.Addr]balancer.StaticHop{
		addr("10.0.0.11"):    {MAC: packet.MAC{2, 0, 0, 0, 0, 11}},
		addr("10.0.0.12"):    twelve,
		addr("10.0.0.13"):    twelve,
		addr("2001:db8::11"): {MAC: packet.MAC{2, 0, 0, 0, 0, 13}, Tags: packet.Tags{0x88a80007, 0x81000008}},
	}
	if diff := cmp.Diff(want, c.Spec.Neighbours, compareAddresses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := Parse("f", []byte("neighbours: [10.0.0.11]\nservices: []\n")); err == nil ||
		err.Error() != "f:1: neighbours: want addresses with MAC addresses, as in 10.0.0.11: 02:00:00:00:00:0b, not a list" {
		t.Errorf("a list: %v", err)
	}
}

// TestNeighbourPorts: a neighbour by an interface that is not served is never reached.
func TestNeighbourPorts(t *testing.T) {
	const file = "neighbours:\n  10.0.0.11:\n    mac: 02:00:00:00:00:0b\n    port: eth1\nservices: []\n"
	for before, want := range map[string]string{
		"":                           "",
		"interface: eth1\n":          "",
		"interfaces: [eth0, eth1]\n": "",
		"interface: eth0\n":          "f:3: neighbours.10.0.0.11.port: eth1 is not served; want one of: eth0",
	} {
		if _, err := Parse("f", []byte(before+file)); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: %v, want %q", before, err, want)
		}
	}
}
