package balancer

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/internal/packet"
)

// tunnelSpec is webSpec's service in a mode that encapsulates, with a backend of each family.
func tunnelSpec(m Mode) Spec {
	spec := webSpec(RoundRobin, 1, 1)
	s := &spec.Services[0]
	s.Mode = m
	s.Backends[0].Port, s.Backends[1].Port = 0, 0
	s.Backends[1].Address = netip.MustParseAddr("2001:db8:10::11")
	if m == GUE {
		s.GUE = GUESpec{Port: 6080, Variant: 1}
	}
	return spec
}

func TestTunnelTo(t *testing.T) {
	addr, prefix := netip.MustParseAddr, netip.MustParsePrefix
	four, six, own4, own6 := addr("10.0.0.11"), addr("2001:db8:10::11"), addr("10.0.0.1"), addr("2001:db8:10::1")
	gue := func(variant uint8, checksum bool) ServiceSpec {
		return ServiceSpec{Mode: GUE, Address: addr("2001:db8:2::10"), GUE: GUESpec{Port: 7000, Variant: variant, Checksum: checksum}}
	}
	given := []netip.Prefix{prefix("10.64.0.0/16"), prefix("2001:db8:64::/64")}
	for _, test := range []struct {
		name         string
		s            ServiceSpec
		backend, own netip.Addr
		want         packet.TunnelConfig // zero: none
	}{
		{"nat", ServiceSpec{Mode: NAT}, four, own4, packet.TunnelConfig{}},
		{"dsr", ServiceSpec{Mode: DSR}, four, own4, packet.TunnelConfig{}},
		{"4in4", ServiceSpec{Mode: IPIP, Address: addr("192.0.2.10")}, four, own4,
			packet.TunnelConfig{Source: prefix("10.0.0.1/32"), Destination: four}},
		{"4in6", ServiceSpec{Mode: IPIP, Address: addr("192.0.2.10")}, six, own6,
			packet.TunnelConfig{Source: prefix("2001:db8:10::1/128"), Destination: six}},
		{"6in4", ServiceSpec{Mode: GRE, Address: addr("2001:db8:2::10")}, four, own4,
			packet.TunnelConfig{Encapsulation: packet.EncapGRE, Source: prefix("10.0.0.1/32"), Destination: four, Inner6: true}},
		{"given", ServiceSpec{Mode: IPIP, Address: addr("192.0.2.10"), TunnelSources: given}, six, own6,
			packet.TunnelConfig{Source: given[1], Destination: six}},
		{"given, own not known", ServiceSpec{Mode: IPIP, Address: addr("192.0.2.10"), TunnelSources: given}, four, netip.Addr{},
			packet.TunnelConfig{Source: given[0], Destination: four}},
		{"given for the other family", ServiceSpec{Mode: IPIP, Address: addr("192.0.2.10"), TunnelSources: given[:1]}, six, own6,
			packet.TunnelConfig{Source: prefix("2001:db8:10::1/128"), Destination: six}},
		{"own not known", ServiceSpec{Mode: IPIP, Address: addr("192.0.2.10")}, four, netip.Addr{}, packet.TunnelConfig{Destination: four}},
		{"own of another family", ServiceSpec{Mode: IPIP, Address: addr("192.0.2.10")}, four, own6, packet.TunnelConfig{Destination: four}},
		{"gue 1", gue(1, false), four, own4,
			packet.TunnelConfig{Encapsulation: packet.EncapUDP, Source: prefix("10.0.0.1/32"), Destination: four, Inner6: true, Port: 7000}},
		{"gue 0", gue(0, true), six, own6,
			packet.TunnelConfig{Encapsulation: packet.EncapGUE, Source: prefix("2001:db8:10::1/128"), Destination: six, Inner6: true, Port: 7000, Checksum: true}},
	} {
		got, ok := test.s.TunnelTo(test.backend, test.own)
		if ok != test.want.Destination.IsValid() || got != test.want {
			t.Errorf("%s: %+v, %t, want %+v", test.name, got, ok, test.want)
		}
	}
}

// A backend in a tunnel has a hop that no packet has come by, on the link that its frames
// leave by.
func TestCompileTunnels(t *testing.T) {
	for _, m := range []Mode{IPIP, GUE, GRE} {
		spec := tunnelSpec(m)
		b4, b6 := spec.Services[0].Backends[0].Address, spec.Services[0].Backends[1].Address
		facts := Facts{
			Ports: []Port{{}, {MAC: packet.MAC{2, 9}}},
			NextHops: map[netip.Addr]NextHop{
				b4: {MAC: packet.MAC{2, 1}, OnLink: true, Own: netip.MustParseAddr("10.0.0.1"), Link: Link{Port: 1}},
				b6: {MAC: packet.MAC{2, 1}, Link: Link{Tags: packet.Tags{packet.NewTag(5)}, MTU: 1400}}, // and no own address
			},
		}
		c := NewCompiler(NewLoads())
		table := mustCompile(t, c, spec, facts)
		b := table.Backends[0]
		config, _ := spec.Services[0].TunnelTo(b4, netip.MustParseAddr("10.0.0.1"))
		if b.Flags&(HasMAC|Up) != HasMAC|Up || b.Tunnel == 0 || cmp.Diff(table.Tunnels[b.Tunnel].Tunnel, packet.NewTunnel(&config), cmp.AllowUnexported(packet.Tunnel{})) != "" {
			t.Errorf("%v: %+v by tunnel %+v", m, b, table.Tunnels[b.Tunnel])
		}
		if link := table.Links.At(HopLink(b.Next)); link != (Link{Port: 1, Tunnel: true}) || b.Source != table.Ports[1].MAC.Word() {
			t.Errorf("%v: leaves by %+v from %x", m, link, b.Source)
		}
		if b := table.Backends[1]; b.Flags&(HasMAC|Up) != 0 || b.Next != NoHop {
			t.Errorf("%v: without a source address: %+v", m, b)
		}
		spec.Services[0].TunnelSources = []netip.Prefix{netip.MustParsePrefix("2001:db8:64::/64")}
		table = mustCompile(t, c, spec, facts)
		b = table.Backends[1]
		if link := table.Links.At(HopLink(b.Next)); b.Flags&(HasMAC|Up) != HasMAC|Up || link != (Link{Tunnel: true, MTU: 1400, Tags: packet.Tags{packet.NewTag(5)}}) {
			t.Errorf("%v: %+v leaves by %+v", m, b, link)
		}
		// One that is gone has none, and its service may be another's.
		gone := spec
		gone.Services = nil
		if b := mustCompile(t, c, gone, facts).Backends[0]; b.Tunnel != 0 || b.Service != NoService {
			t.Errorf("%v: gone: %+v", m, b)
		}
	}
}

// Where there is no room for one more link, a backend in a tunnel has no way, and its flows
// don't take one that leads nowhere.
func TestTunnelWithoutALink(t *testing.T) {
	spec := tunnelSpec(IPIP)
	b4 := spec.Services[0].Backends[0].Address
	facts := Facts{Ports: []Port{{MAC: packet.MAC{2, 9}}}, NextHops: map[netip.Addr]NextHop{b4: {MAC: packet.MAC{2, 1}, Own: netip.MustParseAddr("10.0.0.1")}}}
	c := NewCompiler(NewLoads())
	for n, ok := uint32(1), true; ok; n++ {
		_, ok = c.Links().ID(Link{Tags: packet.Tags{packet.Tag(n)}})
	}
	if b := mustCompile(t, c, spec, facts).Backends[0]; b.Tunnel != 0 || b.Next != NoHop || b.Flags&HasMAC != 0 {
		t.Errorf("%+v", b)
	}
}
