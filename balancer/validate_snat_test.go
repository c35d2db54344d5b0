package balancer

import (
	"net/netip"
	"strings"
	"testing"
)

// fullnatSpec is a service with full NAT that is right, and one of another mode.
func fullnatSpec() *Spec {
	web := func(name, vip string, mode Mode) ServiceSpec {
		return ServiceSpec{
			Name: name, Address: netip.MustParseAddr(vip), First: 80, Last: 80, Protocol: TCP, Mode: mode, Health: HealthSpec{Type: HealthNone},
			Backends: []BackendSpec{{Name: "a", Address: netip.MustParseAddr("10.0.0.11"), Weight: 1}},
		}
	}
	s := &Spec{Services: []ServiceSpec{web("full", "192.0.2.10", FullNAT), web("plain", "192.0.2.11", NAT)}}
	s.Services[0].SnatAddresses = []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("2001:db8::5")}
	return s
}

func TestValidateSnat(t *testing.T) {
	if problems := fullnatSpec().Validate(); problems != nil {
		t.Fatalf("right, but: %v", problems)
	}
	for name, c := range map[string]struct {
		change func(full, plain *ServiceSpec)
		want   string
	}{
		"none":         {func(s, _ *ServiceSpec) { s.SnatAddresses = nil }, "services[0].snat-addresses: missing; want addresses of this machine's own"},
		"twice":        {func(s, _ *ServiceSpec) { s.SnatAddresses[1] = s.SnatAddresses[0] }, "services[0].snat-addresses[1]: 10.0.0.5 is there twice"},
		"own VIP":      {func(s, _ *ServiceSpec) { s.SnatAddresses[0] = s.Address }, `services[0].snat-addresses[0]: 192.0.2.10 is the address of service "full"`},
		"other VIP":    {func(s, p *ServiceSpec) { s.SnatAddresses[0] = p.Address }, `services[0].snat-addresses[0]: 192.0.2.11 is the address of service "plain"`},
		"backend":      {func(s, p *ServiceSpec) { p.Backends[0].Address = s.SnatAddresses[0] }, `services[1].backends[0].address: 10.0.0.5 is one of the snat-addresses of service "full"`},
		"loopback":     {func(s, _ *ServiceSpec) { s.SnatAddresses[0] = netip.MustParseAddr("127.0.0.1") }, "services[0].snat-addresses[0]: 127.0.0.1 is a loopback address"},
		"other family": {func(s, _ *ServiceSpec) { s.SnatAddresses = s.SnatAddresses[1:] }, "services[0].snat-addresses: none can send to backend 10.0.0.11; want an IPv4 address among them"},
		"backwards":    {func(s, _ *ServiceSpec) { s.SnatPorts = Ports{9, 8} }, "services[0].snat-ports: 9-8 are no ports"},
		"port 0":       {func(s, _ *ServiceSpec) { s.SnatPorts = Ports{0, 8} }, "services[0].snat-ports: 0-8 are no ports"},
		"nat":          {func(_, p *ServiceSpec) { p.SnatPorts = Ports{1024, 2047} }, "services[1].snat-ports: mode nat leaves the source address alone; want no snat-ports, they are for fullnat"},
	} {
		t.Run(name, func(t *testing.T) {
			s := fullnatSpec()
			c.change(&s.Services[0], &s.Services[1])
			problems := s.Validate()
			if len(problems) != 1 || !strings.HasPrefix(problems[0].Error(), c.want) {
				t.Errorf("problems %q, want one: %s", problems, c.want)
			}
		})
	}
}

func TestSourcesOfATable(t *testing.T) {
	s := fullnatSpec()
	table := mustCompile(t, NewCompiler(NewLoads()), *s, Facts{Ephemeral: Ports{32768, 60999}})
	full := &table.Services[0]
	if len(full.SnatAddresses) != 2 || full.SnatAddresses[0].Netip() != netip.MustParseAddr("10.0.0.5") || full.SnatPorts != (Ports{1024, 65535}) {
		t.Errorf("sources %v, ports %v", full.SnatAddresses, full.SnatPorts)
	}
	if table.Ephemeral != (Ports{32768, 60999}) {
		t.Errorf("ephemeral ports %v", table.Ephemeral)
	}
}
