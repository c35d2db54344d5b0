package daemon

import (
	"slices"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/report"
)

// state is what the daemon knows of itself.
type state struct {
	name, reason string           // as of api.Status
	ports        []report.Port    // by number, as the engine has them
	findings     []report.Finding // of the interfaces; never changed once noted
	reload       string           // outcome of the last one
	needsRestart []string
	web          string // why metrics are not served
}

// enter notes that the daemon is in a state now.
func (d *daemon) enter(name string, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.name, d.state.reason = name, ""
	if name != api.StateServing {
		d.state.findings = nil // they are of interfaces that are served
	}
	if why != nil {
		d.state.reason = why.Error()
	}
}

func (d *daemon) in(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.name == name
}

// because reports whether that state was entered for this very reason.
func (d *daemon) because(name string, why error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.name == name && d.state.reason == why.Error()
}

// reloaded notes the outcome of a reload.
func (d *daemon) reloaded(outcome string, needsRestart []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.reload, d.state.needsRestart = outcome, needsRestart
}

func (d *daemon) about() report.About {
	listeners := d.meetings(listenersAge)
	d.mu.Lock()
	defer d.mu.Unlock()
	c, s := d.config, &d.state
	poll := "adaptive"
	if c.Poll == config.PollBusy {
		poll = "busy"
	}
	return report.About{
		Version: d.Version, Config: d.Path, Started: d.started, State: s.name, Reason: s.reason,
		Ports: slices.Clone(s.ports), Driver: string(c.Driver), Mode: string(c.XDPMode), Poll: poll,
		Findings: s.findings, Reload: s.reload, NeedsRestart: slices.Clone(s.needsRestart), Listeners: listeners, Web: s.web,
	}
}
