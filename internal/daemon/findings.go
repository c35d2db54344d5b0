package daemon

import (
	"slices"
	"time"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/report"
)

// servedBy returns what is made of the interface with a number.
func (d *daemon) servedBy(in *engine.Info, number int) doctor.Served {
	p := &in.Ports[number]
	s := doctor.Served{Mode: p.Attached, CPUs: d.engine.CPUs()}
	if d.config.Poll == config.PollBusy {
		s.Busy = len(in.Workers)
	}
	for i := range p.Sockets {
		socket := &p.Sockets[i]
		if !socket.Receives() {
			continue
		}
		s.Queues = append(s.Queues, socket.Queue)
		if socket.Detour {
			s.Detours = append(s.Detours, socket.Queue)
		}
		s.MaxMTU = socket.MaxMTU() // all have the same
		if in.Workers[i].CPU < 0 {
			s.Unpinned = append(s.Unpinned, socket.Queue)
		}
	}
	return s
}

// noted returns findings as the status has them.
func noted(list []doctor.Finding) (noted []report.Finding) {
	for i := range list {
		f := &list[i]
		noted = append(noted, report.Finding{Port: f.Interface, Code: f.Check, Text: f.Text(), Loss: f.Severity == doctor.Cannot})
	}
	return noted
}

// find notes what was found of an interface, and tells what has begun and what is over.
func (d *daemon) find(port string, now []report.Finding) {
	d.mu.Lock()
	var before, others []report.Finding
	for _, f := range d.state.findings {
		if f.Port == port {
			before = append(before, f)
		} else {
			others = append(others, f)
		}
	}
	for i := range now {
		now[i].Since = time.Now()
		if old := finding(before, now[i].Code); old != nil {
			now[i].Since = old.Since
		}
	}
	d.state.findings = append(others, now...)
	d.mu.Unlock()
	for i := range now {
		// What is said of the machine has counts in it, which go on.
		if old := finding(before, now[i].Code); old == nil || port != "" && old.Text != now[i].Text {
			d.events.Record(events.Event{Kind: events.Kind(now[i].Code), Severity: events.Warning, Interface: port, Text: now[i].Text})
		}
	}
	for i := range before {
		if finding(now, before[i].Code) == nil {
			d.events.Record(events.Event{Kind: events.Kind(before[i].Code), Over: true, Severity: events.Warning, Interface: port, Text: "over: " + before[i].Text})
		}
	}
}

// forget drops what was found of an interface that is not served any more.
func (d *daemon) forget(port string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.findings = slices.DeleteFunc(slices.Clone(d.state.findings), func(f report.Finding) bool { return f.Port == port })
}

// finding returns the one with the code, nil if there is none.
func finding(list []report.Finding, code string) *report.Finding {
	for i := range list {
		if list[i].Code == code {
			return &list[i]
		}
	}
	return nil
}
