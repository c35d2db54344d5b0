package daemon

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
)

// changes says in which way c differs from what runs, of whose services that is the
// difference. What needs a restart is compared with the config that there was at the start,
// all else with the one that is in force.
func (d *daemon) changes(c *config.Config, services *control.Difference) api.Reload {
	out := api.Reload{Generation: services.Generation}
	for _, change := range c.Changes(d.config) {
		if change.Restart {
			out.Settings = append(out.Settings, settingChange(change))
			out.NeedsRestart = append(out.NeedsRestart, change.Key)
		}
	}
	for _, change := range c.Changes(d.inForce) {
		if !change.Restart {
			out.Settings = append(out.Settings, settingChange(change))
		}
	}
	for i := range services.Services {
		s := &services.Services[i]
		change, ok := serviceChange(s)
		if s.Is == nil {
			change.Then = afterService(s.Was, services)
		}
		if ok {
			out.Services = append(out.Services, change)
		}
	}
	out.Overrides = overrides(services)
	return out
}

// overrides tells which operators' changes stay, and which do not.
func overrides(d *control.Difference) (list []api.OverrideFate) {
	for i := range d.Services {
		s := &d.Services[i]
		for j := range s.Backends {
			if b := &s.Backends[j]; b.Override != (control.Setting{}) {
				list = append(list, api.OverrideFate{Service: s.Is.Name, Backend: b.Is.Name, Override: b.Override.String(), Kept: true})
			}
		}
	}
	for i := range d.Ended {
		e := &d.Ended[i]
		list = append(list, api.OverrideFate{Service: e.Service, Backend: e.Backend, Override: e.Setting.String(), Reason: e.Why})
	}
	return list
}

func settingChange(c config.Change) api.SettingChange {
	return api.SettingChange{Key: c.Key, Old: c.Old, New: c.New, NeedsRestart: c.Restart}
}

func settingChanges(list []config.Change) (out []api.SettingChange) {
	for _, c := range list {
		out = append(out, settingChange(c))
	}
	return out
}

// serviceChange tells of a service, if it has changed.
func serviceChange(s *control.ServiceDifference) (out api.ServiceChange, ok bool) {
	out = api.ServiceChange{Connections: s.Live(), Slots: s.Slots, SlotsMoved: s.Moved}
	spec := s.Is
	switch {
	case s.Was == nil:
		out.Change = api.Added
	case s.Is == nil:
		spec = s.Was
		out.Change = api.Removed
	case s.Was.Equal(s.Is): // as most are, and to compare them key by key takes long
		return out, false
	default:
		out.Change, out.Settings, out.Then = api.Changed, settingChanges(config.ServiceChanges(s.Was, s.Is)), afterMode(s.Was, s.Is)
		for i := range s.Backends {
			if b, ok := backendChange(s.Is, &s.Backends[i]); ok {
				out.Backends = append(out.Backends, b)
			}
		}
		if len(out.Settings)+len(out.Backends) == 0 {
			return out, false
		}
	}
	if s.Slots > 0 {
		out.MovedPercent = math.Round(float64(s.Moved)*10_000/float64(s.Slots)) / 100
	}
	out.Service, out.Address = spec.Name, spec.Key().String()
	return out, true
}

// backendChange tells of a backend of s, which is there before and after, if it has changed.
func backendChange(s *balancer.ServiceSpec, b *control.BackendDifference) (out api.BackendChange, ok bool) {
	out = api.BackendChange{Connections: b.Live, Address: b.Key.Address.String()}
	if b.Key.Port != 0 {
		out.Address = netip.AddrPortFrom(b.Key.Address, b.Key.Port).String()
	}
	switch {
	case b.Was == nil:
		out.Backend, out.Change = b.Is.Name, api.Added
	case b.Is == nil:
		out.Backend, out.Change, out.Then = b.Was.Name, api.Removed, afterRemoval(s)
	default:
		out.Backend, out.Change, out.Settings = b.Is.Name, api.Changed, settingChanges(config.BackendChanges(b.Was, b.Is))
		if b.Is.Weight == 0 && b.Was.Weight != 0 {
			out.Then = afterDrain(s)
		}
		return out, len(out.Settings) > 0
	}
	return out, true
}

// The following say what becomes of connections, in the words of engine/reconsider.go, which
// does it.

// afterService is of those of a service that is gone. To change its address, protocol or ports
// is to have another one, which may be the one that its packets are for then.
func afterService(was *balancer.ServiceSpec, d *control.Difference) string {
	var heir *balancer.ServiceSpec // the one with the fewest ports, which comes first
	for i := range d.Services {
		is := d.Services[i].Is
		if is != nil && is.Key().Overlaps(was.Key()) && (heir == nil || is.Last-is.First < heir.Last-heir.First) {
			heir = is
		}
	}
	if heir == nil {
		return "each ends: packets to the address are the kernel's then"
	}
	then := "chooses anew"
	switch {
	case was.Protocol != balancer.TCP:
	case heir.OnDown == balancer.Reset:
		then = "is reset"
	default:
		then = "ends unless it gets the same backend"
	}
	return fmt.Sprintf("each is for service %s from its next packet on, where that has its port, and %s", heir.Name, then)
}

// afterRemoval is of those of a backend that s does not have any more.
func afterRemoval(s *balancer.ServiceSpec) string {
	switch {
	case s.Protocol == balancer.TCP && s.OnDown == balancer.Reset:
		return "each is reset at its next packet"
	case len(s.Backends) == 0:
		return "each ends at its next packet: there is no other backend"
	case s.Protocol == balancer.TCP:
		return "each goes to another backend at its next packet, and ends there"
	default:
		return "each goes to another backend at its next packet"
	}
}

// afterMode is of those of a service with another mode; empty: it has the same.
func afterMode(was, is *balancer.ServiceSpec) string {
	old, now := was.Mode.Traits(), is.Mode.Traits()
	switch {
	case was.Mode == is.Mode:
		return ""
	case is.Protocol == balancer.UDP && (old.RepliesReturn != now.RepliesReturn || old.TranslatesSource != now.TranslatesSource):
		return fmt.Sprintf("each chooses anew at its next packet, in mode %v", is.Mode)
	case old.RepliesReturn && !now.RepliesReturn:
		return fmt.Sprintf("each ends at its next packet: in mode %v answers do not come by", is.Mode)
	case !now.RepliesReturn: // what is direct goes by the backend's record, and has none of its own
		return fmt.Sprintf("each stays where it is, in mode %v from its next packet on", is.Mode)
	case old.Encapsulates:
		return fmt.Sprintf("each goes on without a tunnel, which a backend behind a router does not get; new ones are in mode %v", is.Mode)
	default:
		return fmt.Sprintf("each goes on as it began until it ends; new ones are in mode %v", is.Mode)
	}
}

// afterDrain is of those of a backend of s that has no weight any more.
func afterDrain(s *balancer.ServiceSpec) string {
	if s.Protocol == balancer.UDP {
		return fmt.Sprintf("each stays for %v, and new ones go elsewhere", s.DrainTime)
	}
	return "each stays until it ends, and new ones go elsewhere"
}

// summary is the changes in one line, with the settings' values or without: what a check sends, or
// asks for, may be a secret.
func summary(r *api.Reload, values bool) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	settings := func(of string, list []api.SettingChange) {
		for _, c := range list {
			if !values {
				add("%s%s has changed", of, c.Key)
				continue
			}
			add("%s%s %s → %s", of, c.Key, orNone(c.Old), orNone(c.New))
		}
	}
	settings("", r.Settings)
	for i := range r.Services {
		s := &r.Services[i]
		if s.Change != api.Changed {
			add("service %s %s%s", s.Service, s.Change, connections(s.Connections))
			continue
		}
		settings(s.Service+": ", s.Settings)
		for j := range s.Backends {
			b := &s.Backends[j]
			if b.Change != api.Changed {
				add("%s: backend %s %s%s", s.Service, b.Backend, b.Change, connections(b.Connections))
			}
			settings(s.Service+"/"+b.Backend+": ", b.Settings)
		}
		if s.SlotsMoved > 0 {
			add("%s: %.2f%% of the hash slots move", s.Service, s.MovedPercent)
		}
	}
	const most = 20
	switch n := len(parts); {
	case n == 0:
		return "nothing has changed"
	case n > most:
		parts = append(parts[:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(parts, "; ")
}

func orNone(value string) string {
	if value == "" {
		return "none"
	}
	return value
}

func connections(n int64) string {
	switch n {
	case 0:
		return ""
	case 1:
		return " (1 connection)"
	}
	return fmt.Sprintf(" (%d connections)", n)
}
