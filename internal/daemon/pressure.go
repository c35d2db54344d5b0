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
	met  func(now, before *engine.Info) bool
}

// growing is a bound that has been met as often as a count says.
func growing(kind events.Kind, count func(*engine.Info) uint64, text string) bound {
	return bound{kind, text, func(now, before *engine.Info) bool { return count(now) > count(before) }}
}

var bounds = []bound{
	{events.FlowTable, "the flow table is nearly full, and flows will make way for new ones: raise conntrack.max-flows", func(now, _ *engine.Info) bool {
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
}

// boundQuiet is how many looks long a bound is not met before that is told.
const boundQuiet = 10

// pressure remembers which bounds are met.
type pressure struct {
	before engine.Info
	left   []int         // looks until that of a bound is over; 0: it is not met
	since  []time.Time   // when each that is met began
	full   func() string // names the services whose backends have all the connections that they may have
	whose  string        // what that was when somebody was refused last
}

// watchLimits tells when bounds are met, and when they are not any more, until ctx ends.
func (d *daemon) watchLimits(ctx context.Context, full func() string) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	p := pressure{before: d.engine.Info(), full: full}
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
		case b.met(&now, &p.before):
			if b.kind == events.BackendFull {
				p.ask(*left == 0)
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

// ask notes which services are full. One whose clients come and go may have room again before
// anybody looks: then it is those that were full before, in the same pressure.
func (p *pressure) ask(anew bool) {
	if now := p.full(); now != "" || anew {
		p.whose = now
	}
}

// of says which services a bound of a kind is of; empty: all, or it is not known.
func (p *pressure) of(k events.Kind) string {
	if k == events.BackendFull {
		return p.whose
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
