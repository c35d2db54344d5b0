package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/report"
)

// bound is something that packets can use up. That it is reached is told when it begins,
// however many packets meet it, and once more when none has for some time. In between it is
// among the status's warnings.
type bound struct {
	kind events.Kind
	text string
	met  func(p *pressure, now *engine.Info) bool
}

// growing is a bound that has been met as often as a count says.
func growing(kind events.Kind, count func(*engine.Info) uint64, text string) bound {
	return bound{kind, text, func(p *pressure, now *engine.Info) bool { return count(now) > count(&p.before) }}
}

var bounds = []bound{
	{events.FlowTable, "the flow table is nearly full, and flows will make way for new ones: raise conntrack.max-flows", func(_ *pressure, now *engine.Info) bool {
		const nearly = 0.9
		return float64(now.Flows.Total()) >= nearly*float64(now.Flows.MaxFlows)
	}},
	growing(events.FlowTable, func(in *engine.Info) uint64 { return in.Flows.EvictedEstablished },
		"the flow table is full, and established flows make way for new ones: raise conntrack.max-flows"),
	growing(events.Clients, func(in *engine.Info) uint64 { return in.Clients.Evicted },
		"there are more clients with persistence than there is room for, and some are forgotten before their time"),
	growing(events.ReplyLimit, func(in *engine.Info) uint64 { return in.Total.Verdicts[packet.DropReplyLimit] },
		"more answers of the balancer's own are due than it gives in a second, and the others are not given"),
	growing(events.PuntLimit, func(in *engine.Info) uint64 { return in.Total.Verdicts[packet.DropPuntLimit] },
		"more is to be given back to the kernel than the workers do in a second, and the rest is dropped"),
	growing(events.BackendFull, func(in *engine.Info) uint64 { return in.Total.Full },
		"new connections find every backend of their service with max-conns connections, and can't begin"),
	growing(events.Overload, func(in *engine.Info) uint64 {
		full := uint64(0)
		for i := range in.Ports {
			for j := range in.Ports[i].Sockets {
				full += in.Ports[i].Sockets[j].Kernel.RxRingFull
			}
		}
		return full
	}, "packets come faster than a worker takes them, and some are lost"),
	{events.Unanswered, "clients come in vain to backends that are up, which refuse them or leave SYNs unanswered (do they listen at their port, and answer by way of this machine?)",
		(*pressure).unanswered},
}

// boundQuiet is how many looks long a bound is not met before that is told.
const boundQuiet = 10

// pressure remembers which bounds are met.
type pressure struct {
	ask    beside
	before engine.Info
	left   []int       // looks until that of a bound is over; 0: it is not met
	since  []time.Time // when each that is met began
	full   string      // the services, when somebody was refused last
	mute   string      // the backends
	looks  int         // for which there have been such
	times  int64       // of them, at the last
}

// beside are questions of what there is besides the engine's figures, as of [report.Source].
type beside struct {
	full func() (services string)
	mute func() (backends string, times int64)
}

// watchLimits tells when bounds are met, and when they are not any more, until ctx ends.
func (d *daemon) watchLimits(ctx context.Context, ask beside) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	p := pressure{before: d.engine.Info(), ask: ask}
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		told := p.look(d.engine.Info())
		met := p.met()
		d.mu.Lock()
		d.state.pressed = met
		d.mu.Unlock()
		for _, e := range told {
			d.events.Record(e)
		}
	}
}

// look returns what is to be told of the bounds by what is so now.
func (p *pressure) look(now engine.Info) (list []events.Event) {
	if p.left == nil {
		p.left, p.since = make([]int, len(bounds)), make([]time.Time, len(bounds))
	}
	for i, b := range bounds {
		switch left := &p.left[i]; {
		case b.met(p, &now):
			if b.kind == events.BackendFull {
				p.refused(*left == 0)
			}
			if *left == 0 {
				p.since[i] = time.Now()
				list = append(list, events.Event{Kind: b.kind, Severity: events.Warning, Text: b.text, Reason: p.of(b.kind)})
			}
			*left = boundQuiet
		case *left > 0:
			if *left--; *left == 0 {
				list = append(list, events.Event{
					Kind: b.kind, Over: true, Severity: events.Info, Text: "over: " + b.text, Reason: fmt.Sprintf("not met for %d s", boundQuiet),
				})
			}
		}
	}
	p.before = now
	return list
}

// refused notes which services are full. One whose clients come and go may have room again before
// anybody looks: then it is those that were full before, in the same pressure.
func (p *pressure) refused(anew bool) {
	if now := p.ask.full(); now != "" || anew {
		p.full = now
	}
}

// unanswered reports whether clients come in vain to somebody who has been up for some time since
// they first did: it is not as with one that has died just now, whose next check tells.
func (p *pressure) unanswered(*engine.Info) bool {
	who, times := p.ask.mute()
	grown := times > p.times
	p.times, p.looks = times, p.looks+1
	if who == "" {
		p.looks = 0
		return false
	}
	if p.looks <= boundQuiet || !grown {
		return false
	}
	p.mute = who
	return true
}

// of says which services or backends a bound of a kind is of; empty: all, or it is not known.
func (p *pressure) of(k events.Kind) string {
	switch k {
	case events.BackendFull:
		return p.full
	case events.Unanswered:
		return p.mute
	}
	return ""
}

// met returns the bounds that are met, as the status has them.
func (p *pressure) met() (list []report.Finding) {
	for i, left := range p.left {
		if left == 0 {
			continue
		}
		b := &bounds[i]
		f := report.Finding{Code: string(b.kind), Text: b.text, Since: p.since[i]}
		if whose := p.of(b.kind); whose != "" {
			f.Text += ": " + whose
		}
		list = append(list, f)
	}
	return list
}
