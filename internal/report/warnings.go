package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/packet"
)

// warnings returns all that a person should look at, the worst first: what keeps
// packets from arriving, what is not as it was asked for, and what is only slow.
func warnings(in *engine.Info, v *control.View, a *About) []api.Warning {
	list := []api.Warning{}
	add := func(code string, since time.Time, format string, args ...any) {
		list = append(list, api.Warning{Code: code, Text: fmt.Sprintf(format, args...), Since: since})
	}
	if a.Stalled != "" {
		add("stalled", time.Time{}, "not come round for seconds: %s; packets are lost there. The service manager's watchdog ends this by a restart", a.Stalled)
	}
	if !v.Link.Up && v.Table != nil {
		add("link", v.Link.Since, "%s: %s; nothing is served, and what is known of the backends stays as it was", names(a.Ports), v.Link.Why)
	}
	if a.State == api.StateServing {
		for i := range a.Ports {
			if p := &a.Ports[i]; p.Away != "" {
				add("port", p.Since, "%s is not served: %s", p.Name, p.Away)
			}
		}
	}
	ofInterface(a, true, add)
	if v.Failure != nil {
		add("commit", time.Time{}, "what is desired is not in force, and is tried again: %v", v.Failure)
	}
	for _, t := range v.Troubles {
		add("probes", time.Time{}, "probes fail for a reason of this machine's own, and are no verdict: %s", t.Text)
	}
	if v.Link.Up {
		empty(v, add)
		fallen(v, add)
		unreachable(v, add)
	}
	misplaced(a.Addresses, add)
	scarcity(SnatPorts(in.Sources, v), add)
	for i := range a.Pressed {
		add(a.Pressed[i].Code, a.Pressed[i].Since, "%s", a.Pressed[i].Text)
	}
	for _, f := range v.Foreign {
		add(string(f.Kind), time.Time{}, "%s", f)
	}
	if a.Reload != "" && a.Reload != "ok" {
		const refused = "the last reload was refused: "
		add("reload", time.Time{}, refused+"%s", firstLine(a.Reload))
		if a.ReloadOutline != "" {
			list[len(list)-1].Outline = refused + firstLine(a.ReloadOutline)
		}
	}
	if len(a.NeedsRestart) > 0 {
		add("restart", time.Time{}, "changed in the file, and not in force before a restart: %s", strings.Join(a.NeedsRestart, ", "))
	}
	if a.Forgotten != "" {
		add("state-file", time.Time{}, "%s", a.Forgotten)
	}
	if a.Unkept != "" {
		add("state-file", time.Time{}, "what operators have changed at run time is in force, but not kept over a restart: %s", a.Unkept)
	}
	if a.Web != "" {
		add("listen", time.Time{}, "page and metrics are not served: %s", a.Web)
	}
	for _, line := range a.Listeners {
		add("listener", time.Time{}, "%s", line)
	}
	ofInterface(a, false, add)
	for i := range in.Ports {
		p := &in.Ports[i]
		if p.Attached == bpf.Generic && a.Mode != "generic" {
			add("generic", time.Time{}, "XDP runs in generic mode on %s, which is slow: the NIC's driver took no native program", p.Name)
		}
		if p.Apart != "" {
			add("copied", time.Time{}, "what crosses between %s and other interfaces is copied: %s", p.Name, p.Apart)
		}
	}
	puntable(in, v, a, add)
	if n := in.Total.Completed; slices.Contains(a.Lately, "checksums") {
		add("checksums", time.Time{}, "%d packets came with unfinished checksums, which are finished here at some cost: "+
			"switch TX checksum offload off where they are sent, as by ethtool -K on the other end of a veth", n)
	}
	return list
}

// ofInterface warns of what was found of the interface: that by which packets are lost, or
// the rest.
func ofInterface(a *About, loss bool, add adder) {
	for i := range a.Findings {
		if f := &a.Findings[i]; f.Loss == loss {
			add(f.Code, f.Since, "%s", f.Text)
		}
	}
}

type adder = func(code string, since time.Time, format string, args ...any)

// puntable warns if what backends send for reasons of their own can't go back to the
// kernel, or could not: the device may have been set down, or taken away, since.
func puntable(in *engine.Info, v *control.View, a *About, add adder) {
	var devices []string
	for i := range in.Ports {
		p := &in.Ports[i].Punt
		if p.Device != "" {
			devices = append(devices, p.Device)
		}
		if len(p.Obstacles) == 0 || !v.Spec.RepliesReturn() {
			continue
		}
		for _, why := range p.Obstacles {
			add("punt", time.Time{}, "what backends of nat services send for reasons of their own can't all be given back to the kernel: %s", why)
		}
	}
	if n := in.Total.Verdicts[packet.DropPuntFailed]; slices.Contains(a.Lately, "punt") {
		add("punt", time.Time{}, "%d packets were to be given back to the kernel, which did not take them: is %s up? "+
			"One that is taken away is made anew", n, cmp.Or(strings.Join(devices, ", "), "the device for that"))
	}
}

// empty warns of services that have nobody in rotation.
func empty(v *control.View, add adder) {
	var names []string
	var since time.Time
	for i := range v.Services {
		s := &v.Services[i]
		if s.Up > 0 || s.Warming || s.Fallback == control.FallbackDown { // that has a warning of its own
			continue
		}
		names = append(names, s.Spec.Name)
		for j := range s.Backends {
			since = later(since, s.Backends[j].Since)
		}
	}
	if len(names) > 0 {
		add("no-backend", since, "no backend in rotation: %s", some(names))
	}
}

// fallen warns of services that fall back on something for want of healthy backends.
func fallen(v *control.View, add adder) {
	for _, f := range [...]struct{ fallback, code, text string }{
		{control.FallbackDown, "below-min-healthy", "taken down, since fewer backends are healthy than min-healthy asks for: %s"},
		{control.FallbackPanic, "panic", "in panic: fewer backends are healthy than min-healthy asks for, and all take new flows: %s"},
		{control.FallbackBackup, "backup", "backup backends take new flows, since too few others can: %s"},
	} {
		var names []string
		var since time.Time
		for i := range v.Services {
			if s := &v.Services[i]; s.Fallback == f.fallback {
				names = append(names, s.Spec.Name)
				for j := range s.Backends {
					if b := &s.Backends[j]; !b.Backup {
						since = later(since, b.Since)
					}
				}
			}
		}
		if len(names) > 0 {
			add(f.code, since, f.text, some(names))
		}
	}
}

// unreachable warns of backends to which there is no way, by reason.
func unreachable(v *control.View, add adder) {
	names, since := map[string][]string{}, map[string]time.Time{}
	var reasons []string // in order of appearance
	for i := range v.Services {
		s := &v.Services[i]
		for j := range s.Backends {
			b := &s.Backends[j]
			if b.State != control.BackendUnreachable {
				continue
			}
			if names[b.Reason] == nil {
				reasons = append(reasons, b.Reason)
			}
			names[b.Reason] = append(names[b.Reason], s.Spec.Name+"/"+b.Name)
			since[b.Reason] = later(since[b.Reason], b.Since)
		}
	}
	for _, why := range reasons {
		add("unreachable", since[why], "unreachable (%s): %s", why, some(names[why]))
	}
}

// names lists the interfaces.
func names(ports []Port) string {
	var list []string
	for i := range ports {
		if ports[i].Name != "" {
			list = append(list, ports[i].Name)
		}
	}
	return strings.Join(list, ", ")
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// some lists a few of the names.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(slices.Clone(names[:few]), ", "), len(names)-few)
}

func firstLine(s string) string {
	line, rest, cut := strings.Cut(s, "\n")
	if cut {
		return fmt.Sprintf("%s (and %d more lines)", line, strings.Count(rest, "\n")+1)
	}
	return line
}
