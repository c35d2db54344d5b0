package daemon

import (
	"fmt"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/xsk"
)

// watchNIC follows what an interface is, while it is served. The watcher is the caller's
// to close; it calls anew when the interface has to be served anew, with the reason.
func (d *daemon) watchNIC(i, ifindex int, anew func(error)) (*nic.Watcher, error) {
	return nic.Watch(d.name(i), d.log.Named("nic"), func(now nic.State) error {
		if now.Index != ifindex { // another one of its name, which was not served yet
			return nil
		}
		in := d.engine.Info()
		if why := d.outgrown(&now, &in.Ports[i]); why != nil {
			anew(fmt.Errorf("the interface has changed: %w", why))
			return nil
		}
		trouble := d.extend(i, &now, &in)
		in = d.engine.Info()
		s := d.servedBy(&in, i)
		s.Trouble = trouble
		d.find(now.Name, noted(doctor.OfInterface(&now, &s)))
		return trouble
	})
}

// outgrown returns why the sockets that there are can't be kept: a queue is gone, or its
// TX queue. Or it is better not to, and there is memory to serve all anew, which is more
// than nothing: a TX queue has come, or frames of a larger size would take what the MTU
// allows.
func (d *daemon) outgrown(now *nic.State, in *engine.PortInfo) error {
	sending := func(queue int) error {
		return fmt.Errorf("%s sends by %d queues now, and queue %d is not set up for that", now.Name, now.TX, queue)
	}
	var better error
	asked := EngineConfig(d.config)
	held := uint64(0) // in frames, which the kernel does not let go of at once
	for i := range in.Sockets {
		s := &in.Sockets[i]
		if !s.Receives() {
			continue
		}
		if !s.Shared {
			held += uint64(s.Frames) * uint64(s.FrameSize)
		}
		lacks, most := s.Queue >= now.TX, s.MaxMTU()
		switch {
		case s.Queue >= now.RX:
			return fmt.Errorf("queue %d of %s is gone, %d are left", s.Queue, now.Name, now.RX)
		case s.Mode == xsk.ModeCopy && lacks && !s.Detour:
			return sending(s.Queue)
		case s.Detour && !lacks:
			better = sending(s.Queue)
		case now.MTU > most && most < asked.MaxMTU(now, in.Attached):
			what := "larger frames"
			if now.MTU > xsk.MaxMTU(asked.Mode, asked.FrameSize) {
				what = "several frames a packet"
			}
			better = fmt.Errorf("an MTU of %d wants %s: those that there are take %d", now.MTU, what, most)
		}
	}
	if better != nil && d.fitsBeside(now, held) != nil {
		return nil
	}
	return better
}

// extend serves queues that have come, as far as they are to be served. The error is why
// some are not.
func (d *daemon) extend(i int, now *nic.State, in *engine.Info) error {
	if err := d.fits(now); err != nil {
		return err
	}
	if err := d.engine.Extend(i); err != nil {
		return err
	}
	served := d.engine.Info()
	if before := len(in.Ports[i].Queues()); len(served.Ports[i].Queues()) > before {
		d.events.Record(events.Event{
			Kind: events.Queues, Severity: events.Info, Interface: now.Name, Text: "the interface has got queues",
			Reason: fmt.Sprintf("it has %d RX and %d TX queues", now.RX, now.TX),
		})
		d.logSockets(&served, i, before)
	}
	return nil
}
