package daemon

import (
	"context"
	"time"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/packet"
)

// notice is what is said once, when the first packet is counted that has met it: of what no
// packet that leaves shows, and somebody may want to see to.
type notice struct {
	kind events.Kind
	met  func(*engine.Counters) bool
	text string
}

var notices = []notice{
	{events.Checksums, func(n *engine.Counters) bool { return n.Completed > 0 },
		"packets come with unfinished checksums, which are finished here at some cost: switch TX checksum offload off where they are sent"},
	{events.Punt, func(n *engine.Counters) bool { return n.Verdicts[packet.DropPuntFailed] > 0 },
		"packets were to be given back to the kernel, which did not take them: the device for that was set down or taken away, or there is none"},
}

// notice says each notice when its time has come, until ctx ends.
func (d *daemon) notice(ctx context.Context) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for left := notices; len(left) > 0; {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		total := d.engine.Total()
		left = d.say(left, &total)
	}
}

// say says those notices that are met, and returns the others.
func (d *daemon) say(list []notice, total *engine.Counters) (left []notice) {
	for _, n := range list {
		if n.met(total) {
			d.events.Record(events.Event{Kind: n.kind, Severity: events.Warning, Text: n.text})
		} else {
			left = append(left, n)
		}
	}
	return left
}
