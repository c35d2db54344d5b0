package balancer

import (
	"fmt"
	"net/netip"
)

// sources returns all addresses that full NAT sends from, each with the name of a service.
func (s *Spec) sources() map[netip.Addr]string {
	all := map[netip.Addr]string{}
	for i := range s.Services {
		for _, a := range s.Services[i].SnatAddresses {
			all[a] = s.Services[i].Name
		}
	}
	return all
}

// snat checks where flows of s get their sources.
func (v *validator) snat(s *ServiceSpec) {
	mode := s.Mode.Traits()
	if !mode.TranslatesSource {
		for _, option := range []struct {
			key   string
			given bool
		}{{"snat-addresses", len(s.SnatAddresses) > 0}, {"snat-ports", s.SnatPorts != Ports{}}} {
			if option.given {
				v.addf(option.key, "mode %v leaves the source address alone; want no %s, they are for %s",
					s.Mode, option.key, modesWith(func(t *Traits) bool { return t.TranslatesSource }))
			}
		}
		return
	}
	if len(s.SnatAddresses) == 0 {
		v.addf("snat-addresses", "missing; want addresses of this machine's own that the backends' answers come back to")
	}
	if p := s.SourcePorts(); p.First == 0 || p.First > p.Last {
		v.addf("snat-ports", "%d-%d are no ports; want a range from 1 to 65535, the lower first", p.First, p.Last)
	}
	seen := map[netip.Addr]bool{}
	families := map[bool]bool{} // by whether it is IPv4's
	for i, a := range s.SnatAddresses {
		path := fmt.Sprintf("snat-addresses[%d]", i)
		families[a.Is4()] = true
		if !v.address(path, a) {
			continue
		}
		if seen[a] {
			v.addf(path, "%v is there twice; want each address once", a)
		}
		if vip, ok := v.vips[a]; ok {
			v.addf(path, "%v is the address of service %q; want one that clients do not talk to", a, vip)
		}
		seen[a] = true
	}
	for j := range s.Backends {
		if a := s.Backends[j].Address; len(families) > 0 && a.IsValid() && !families[a.Is4()] {
			v.addf("snat-addresses", "none can send to backend %v; want %s among them", a, family(a))
			return
		}
	}
}
