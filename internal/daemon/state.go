package daemon

import (
	"errors"
	"slices"
	"strings"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/report"
)

// state is what the daemon knows of itself.
type state struct {
	name, reason string           // as of api.Status
	ports        []report.Port    // by number, as the engine has them
	findings     []report.Finding // of the interfaces; never changed once noted
	pressed      []report.Finding // bounds that are met; never changed once noted
	reload       error            // why the last one was refused, or is not in force
	asked        bool             // there was one
	needsRestart []string
	lately       []string // codes of notices that are met
	stalled      string   // who stands still; see watchPulse
	web          string   // why page and metrics are not served
	unkept       string   // why the state file could not be written
	forgotten    string   // what was lost with it at the start, as long as nobody has done anything since
}

// enter notes that the daemon is in a state now, which the service manager shows, too.
func (d *daemon) enter(name string, why error) {
	d.become(name, why)
	text := "STATUS=" + name
	if why != nil {
		text += ": " + strings.ReplaceAll(why.Error(), "\n", "; ")
	}
	d.tell(text)
}

func (d *daemon) become(name string, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.name, d.state.reason = name, ""
	if name != api.StateServing {
		var machine []report.Finding // the others are of interfaces that are served
		for _, f := range d.state.findings {
			if f.Port == "" {
				machine = append(machine, f)
			}
		}
		d.state.findings = machine
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

// reloaded notes that a config was taken. The error is why not all of it is in force yet.
func (d *daemon) reloaded(err error, needsRestart []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.asked, d.state.reload, d.state.needsRestart = true, err, needsRestart
}

// outcome says what came of the last reload; empty: there was none.
func (d *daemon) outcome() string {
	s := &d.state
	switch {
	case errors.Is(s.reload, control.ErrCommit) && d.control.View().Failure == nil: // it has been tried again
		return "ok"
	case s.reload != nil:
		return s.reload.Error()
	case s.asked:
		return "ok"
	}
	return ""
}

// outline is what of an error is for those who may not read the config file; empty: all of it.
func outline(err error) string {
	var located interface{ Outline() string }
	if errors.As(err, &located) {
		return located.Outline()
	}
	return ""
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
		Findings: s.findings, Pressed: s.pressed, Reload: d.outcome(), ReloadOutline: outline(s.reload), NeedsRestart: slices.Clone(s.needsRestart), Listeners: listeners, Web: s.web, Unkept: s.unkept, Forgotten: s.forgotten, Lately: s.lately, Stalled: s.stalled,
	}
}
