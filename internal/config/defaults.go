package config

import (
	"slices"
	"strings"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// defaultKeys are those of a service that say nothing of which service it is.
var defaultKeys = slices.DeleteFunc(slices.Clone(serviceKeys), func(k key[balancer.ServiceSpec]) bool {
	return slices.Contains([]string{"name", "address", "port", "backends"}, k.name)
})

// builtIn is what a service is of which neither it nor the defaults say anything.
func builtIn() balancer.ServiceSpec {
	// Drain time is for what UDP carries: a question and its answer are over by then, and
	// a call or a game had time to move.
	return balancer.ServiceSpec{Protocol: balancer.TCP, DrainTime: time.Minute}
}

// defaults reads what services are that do not say themselves. A block in a service, as
// health, counts key by key over the one here; all else takes the place of what is here.
func defaults(v value, _ *Config) {
	v.file.shared = mapping(v, &v.file.defaults, defaultKeys)
}

// shed drops from a service what it has from the defaults and cannot use: a default counts
// where it fits, so that services of all modes and protocols can share a file.
func shed(v *value, s *balancer.ServiceSpec) {
	if !v.file.shared {
		return // nothing is inherited
	}
	own := func(path string) bool { _, all := v.file.locate(v.node, path); return all }
	mode, h := s.Mode.Traits(), &s.Health
	for _, d := range [...]struct {
		path string
		fits bool
		drop func()
	}{
		{"snat-addresses", mode.TranslatesSource, func() { s.SnatAddresses = nil }},
		{"snat-ports", mode.TranslatesSource, func() { s.SnatPorts = balancer.Ports{} }},
		{"tunnel-source", mode.Encapsulates, func() { s.TunnelSources = nil }},
		{"gue", s.Mode == balancer.GUE, func() { s.GUE = balancer.GUESpec{} }},
		{"persistence", s.Affinity == balancer.AffinityFlow || !own("affinity"), func() { s.Persistence = balancer.PersistenceSpec{} }},
		{"min-healthy", s.BelowMin != balancer.JoinBackup || hasBackup(s), func() { s.MinHealthy = balancer.MinHealthy{} }},
		{"below-min-healthy", s.MinHealthy != balancer.MinHealthy{} && (s.BelowMin != balancer.JoinBackup || hasBackup(s)), func() { s.BelowMin = balancer.Panic }},
		{"affinity", s.Protocol == balancer.UDP && !s.Algorithm.Hashes() && !own("persistence"), func() { s.Affinity = balancer.AffinityFlow }},
		{"health", own("health") || asks(s), func() { *h = balancer.HealthSpec{} }},
		{"health.via", mode.Encapsulates && h.Type.OpensTCP(), func() { h.ViaTunnel = false }},
		{"health.timeout", h.Timeout <= h.Interval, func() { h.Timeout = h.Interval }},
		{"health.fast-interval", h.FastInterval <= h.Interval, func() { h.FastInterval = 0 }},
	} {
		if !d.fits && !own(d.path) {
			d.drop()
		}
	}
	for _, o := range balancer.HealthOptions {
		if !o.Fits(h.Type) && !own("health."+o.Key) {
			o.Drop(h)
		}
	}
}

// hasBackup reports whether a service has a backend that is backup.
func hasBackup(s *balancer.ServiceSpec) bool {
	return slices.ContainsFunc(s.Backends, func(b balancer.BackendSpec) bool { return b.Backup })
}

// asks reports whether a health check of the defaults can tell anything of a service that
// has none of its own: it is one of TCP, or the check says which port to ask.
func asks(s *balancer.ServiceSpec) bool {
	if !s.Health.Type.Asks() {
		return true
	}
	return probeable(s) && (s.Protocol == balancer.TCP || s.Health.Port != 0)
}

// origin returns where the problem at path stands: below the defaults, if it is one of a
// service that has it from there.
func (f *file) origin(path string) (line int, at string) {
	line, all := f.locate(f.root, path)
	if all || !strings.HasPrefix(path, "services[") {
		return line, path
	}
	if _, key, ok := strings.Cut(path, "]."); ok {
		shared := "defaults." + key
		if l, all := f.locate(f.root, shared); all {
			return l, shared
		}
	}
	return line, path
}
