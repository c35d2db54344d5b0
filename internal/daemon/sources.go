package daemon

import (
	"context"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/report"
)

// watchSources warns when the source ports of full NAT run out towards a backend, and says
// when there are enough again, until ctx ends.
func (d *daemon) watchSources(ctx context.Context) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for before := map[backendName]bool{}; ; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		before = d.saySources(report.SnatPorts(d.engine.Sources(), d.control.View()), before)
	}
}

// enough is which share of the ports is taken at most when there are enough again: less than
// when they run out, or a load near that had it said each second.
const enough = 0.7

type backendName struct{ service, backend string }

// saySources says of which backends the ports run out, but for what was said before: of
// these, each with whether it had none left at all. It returns those of now.
func (d *daemon) saySources(list []api.SnatPorts, before map[backendName]bool) map[backendName]bool {
	now := map[backendName]bool{}
	for i := range list {
		s := &list[i]
		text, name := report.Scarcity(s), backendName{s.Service, s.Backend}
		had, said := before[name]
		if text == "" && (!said || float64(s.Taken) <= enough*float64(s.Total)) {
			continue
		}
		all := s.Taken >= s.Total || had // it does not go to and fro
		if !said || all && !had {
			d.events.Record(events.Event{Kind: events.SnatPorts, Severity: events.Warning, Service: s.Service, Backend: s.Backend, Text: text})
		}
		now[name] = all
	}
	for name := range before {
		if _, still := now[name]; !still {
			d.events.Record(events.Event{
				Kind: events.SnatPorts, Over: true, Severity: events.Info, Service: name.service, Backend: name.backend, Text: "there are enough source ports again",
			})
		}
	}
	return now
}
