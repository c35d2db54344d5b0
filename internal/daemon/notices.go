package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/packet"
)

// notice is what is told when packets are counted that have met it, and told otherwise when none
// has for noticeQuiet: of what no packet that leaves shows, and somebody may want to see to.
type notice struct {
	kind  events.Kind
	count func(*engine.Counters) uint64
	text  string
}

var notices = []notice{
	{events.Checksums, func(n *engine.Counters) uint64 { return n.Completed },
		"packets come with unfinished checksums, which are finished here at some cost: switch TX checksum offload off where they are sent"},
	{events.Punt, func(n *engine.Counters) uint64 { return n.Verdicts[packet.DropPuntFailed] },
		"packets were to be given back to the kernel, which did not take them: the device for that was set down or taken away, or there is none"},
}

// noticeQuiet is long: what is rare is no news each time.
const noticeQuiet = 5 * time.Minute

// noticed remembers when each notice was met.
type noticed struct {
	counts [2]uint64
	last   [2]time.Time // zero: not lately
}

// notice tells of notices, and has the status warn of those that are met lately, until ctx ends.
func (d *daemon) notice(ctx context.Context) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	var p noticed
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		total := d.engine.Total()
		told := p.look(time.Now(), &total)
		if len(told) == 0 {
			continue
		}
		d.mu.Lock()
		d.state.lately = p.lately()
		d.mu.Unlock()
		for _, e := range told {
			d.events.Record(e)
		}
	}
}

// look returns what is to be told by what is counted now.
func (p *noticed) look(now time.Time, total *engine.Counters) (list []events.Event) {
	for i, n := range notices {
		count, last := n.count(total), &p.last[i]
		switch {
		case count != p.counts[i]:
			if last.IsZero() {
				list = append(list, events.Event{Kind: n.kind, Severity: events.Warning, Text: n.text})
			}
			p.counts[i], *last = count, now
		case !last.IsZero() && now.Sub(*last) >= noticeQuiet:
			*last = time.Time{}
			list = append(list, events.Event{Kind: n.kind, Over: true, Severity: events.Info, Text: "over: " + n.text, Reason: fmt.Sprintf("not met for %v", noticeQuiet)})
		}
	}
	return list
}

// lately returns the kinds of those that are met lately, which are the warnings' codes.
func (p *noticed) lately() (codes []string) {
	for i, n := range notices {
		if !p.last[i].IsZero() {
			codes = append(codes, string(n.kind))
		}
	}
	return codes
}
