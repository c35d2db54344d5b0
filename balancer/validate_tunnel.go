package balancer

import (
	"maps"
	"net/netip"
	"slices"
)

// minHosts is how many bits of a network of tunnel sources tell its addresses apart at
// least: the first and the last of them are nobody's.
const minHosts = 2

// tunnel checks what is said of a service's tunnels.
func (v *validator) tunnel(s *ServiceSpec) {
	encapsulates := func(t *Traits) bool { return t.Encapsulates }
	mode := s.Mode.Traits()
	if !mode.Encapsulates && len(s.TunnelSources) > 0 {
		v.addf("tunnel-source", "mode %v has no tunnels; want no tunnel-source, it is for %s", s.Mode, modesWith(encapsulates))
	}
	if !mode.Encapsulates && s.Health.ViaTunnel {
		v.addf("health.via", "mode %v has no tunnels; want no via, it is for %s", s.Mode, modesWith(encapsulates))
	}
	if s.Health.ViaTunnel && !s.Health.Type.OpensTCP() {
		v.addf("health.via", "health type %v does not go through a tunnel; want type tcp, http or https, or no via", s.Health.Type)
	}
	switch {
	case s.Mode != GUE && s.GUE != GUESpec{}:
		v.addf("gue", "mode %v has no UDP header; want mode gue, or no gue", s.Mode)
	case s.Mode == GUE && s.GUE.Port == 0:
		v.addf("gue.port", "port 0 cannot be sent to; want 1 to 65535")
	case s.GUE.Variant > 1:
		v.addf("gue.variant", "there is no variant %d; want 1, whose only header is UDP's as in Linux fou, or 0", s.GUE.Variant)
	}
	families := map[bool]netip.Prefix{}
	for _, p := range s.TunnelSources {
		if v.source(s, p) {
			if other, twice := families[p.Addr().Is4()]; twice {
				v.addf("tunnel-source", "%v and %v are of one family; want one address or network of each", other, p)
			}
			families[p.Addr().Is4()] = p
		}
	}
}

// source checks one source of tunnels, and reports whether it is one.
func (v *validator) source(s *ServiceSpec, p netip.Prefix) bool {
	if !p.IsValid() {
		v.addf("tunnel-source", "missing; want an address or a network")
		return false
	}
	if !v.address("tunnel-source", p.Addr()) {
		return false
	}
	if hosts := p.Addr().BitLen() - p.Bits(); hosts != 0 && hosts < minHosts || p.Bits() < 8 {
		v.addf("tunnel-source", "%v cannot be varied; want one address, or a network of /8 to /%d", p, p.Addr().BitLen()-minHosts)
	}
	for _, vip := range slices.SortedFunc(maps.Keys(v.vips), netip.Addr.Compare) {
		if p.Contains(vip) {
			v.addf("tunnel-source", "%v has %v in it, the address of service %q; want addresses that are nobody else's", p, vip, v.vips[vip])
			break
		}
	}
	for i := range s.Backends {
		if b := &s.Backends[i]; p.Contains(b.Address) {
			v.addf("tunnel-source", "%v has %v in it, the address of backend %q; want addresses that are nobody else's", p, b.Address, b.Name)
			break
		}
	}
	return true
}
