package announce

import (
	"net/netip"
	"strings"
	"testing"
)

// An address goes to the device that has its network, of those that packets of the served
// interfaces come by.
func TestPlace(t *testing.T) {
	eth := func(index int, name string) link {
		return link{name: name, index: index, kind: "device", up: true, carrier: true, arp: true}
	}
	of := func(l link, master, parent int, kind string) link {
		l.master, l.parent, l.kind = master, parent, kind
		return l
	}
	has := func(device int, prefix string) address {
		return address{Prefix: netip.MustParsePrefix(prefix), device: device}
	}
	down, tunnel := eth(1, "eth0"), eth(1, "tun0")
	down.up, tunnel.arp = false, false
	ours := has(1, "192.0.2.0/28")
	ours.mark = mark
	two := []link{eth(1, "eth0"), eth(2, "eth1"), eth(9, "eth9")}
	vlan := []link{eth(1, "eth0"), of(eth(2, "eth0.7"), 0, 1, "vlan"), of(eth(3, "eth0.8"), 0, 1, "vlan")}
	bridge := []link{of(eth(1, "eth0"), 5, 0, "device"), of(eth(5, "br0"), 0, 0, "bridge"), of(eth(6, "br0.7"), 0, 5, "vlan")}
	bond := []link{of(eth(1, "eth0"), 5, 0, "device"), of(eth(2, "eth1"), 5, 0, "device"), of(eth(5, "bond0"), 0, 0, "bond")}
	for name, c := range map[string]struct {
		ports []string
		links []link
		own   []address
		want  string // the device, or a part of the error
	}{
		"one interface":              {[]string{"eth0"}, two, []address{has(1, "192.0.2.1/24")}, "eth0"},
		"in no network, one":         {[]string{"eth0"}, two, []address{has(9, "192.0.2.1/24")}, "eth0"},
		"one of two":                 {[]string{"eth0", "eth1"}, two, []address{has(1, "10.0.0.1/8"), has(2, "192.0.2.1/24")}, "eth1"},
		"the narrower of two":        {[]string{"eth0", "eth1"}, two, []address{has(1, "192.0.2.1/25"), has(2, "192.0.2.1/24")}, "eth0"},
		"in no network, two":         {[]string{"eth0", "eth1"}, two, []address{has(1, "10.0.0.1/8"), has(9, "192.0.2.1/24")}, "none of eth0, eth1 has an address in the network of 192.0.2.10"},
		"single ones are no network": {[]string{"eth0", "eth1"}, two, []address{has(1, "192.0.2.10/32")}, "none of"},
		"nor are our own":            {[]string{"eth0", "eth1"}, two, []address{ours}, "none of"},
		"nobody is there":            {[]string{"eth7"}, two, nil, "no interface is there"},
		"on a VLAN":                  {[]string{"eth0"}, vlan, []address{has(1, "10.0.0.1/8"), has(3, "192.0.2.1/24")}, "eth0.8"},
		"beside VLANs":               {[]string{"eth0"}, vlan, []address{has(3, "10.0.0.1/8")}, "eth0"},
		"on a bridge":                {[]string{"eth0"}, bridge, nil, "br0"},
		"on a bridge's VLAN":         {[]string{"eth0"}, bridge, []address{has(6, "192.0.2.1/24")}, "br0.7"},
		"never on a bridge's port":   {[]string{"eth0"}, bridge, []address{has(1, "192.0.2.1/24")}, "br0"},
		"on a bond":                  {[]string{"eth0", "eth1"}, bond, nil, "bond0"},
		"it is down":                 {[]string{"eth0"}, []link{down}, nil, "eth0, where 192.0.2.10 would be, is down"},
		"no Ethernet":                {[]string{"tun0"}, []link{tunnel}, nil, "tun0, where 192.0.2.10 would be, is no Ethernet"},
	} {
		l, err := place(netip.MustParseAddr("192.0.2.10"), c.ports, c.links, c.own)
		if got := text(l, err); got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func text(l *link, err error) string {
	if err != nil {
		return err.Error()
	}
	return l.name
}
