package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/events"
)

// errInterfaceGone ends the serving of an interface that disappears.
var errInterfaceGone = errors.New("the interface is gone")

// errNoSlave ends the serving of an interface that was served for a bond.
var errNoSlave = errors.New("it is no slave of the bond any more")

// retryInterval is how often an interface that went away is looked for.
const retryInterval = time.Second

// firstAnswers bounds how long the workers wait for what the backends answer first.
// Packets that come meanwhile are in the RX rings.
const firstAnswers = 500 * time.Millisecond

// serveUntil serves the interfaces whenever one is there, until ctx ends.
func (d *daemon) serveUntil(ctx context.Context) error {
	for ever := false; ; {
		served, err := d.serve(ctx)
		ever = ever || served
		if ctx.Err() != nil {
			if asItShould(err) {
				err = nil
			}
			return err
		}
		if !ever {
			return err
		}
		d.tellWaiting(err)
		if !d.in(api.StateWaiting) { // else nobody has taken up the interface since
			if err := d.control.Attach(ctx, nil); err != nil {
				d.events.Record(events.Event{Kind: events.Interface, Severity: events.Error, Text: "let go of the interface", Reason: err.Error()})
			}
		}
		d.enter(api.StateWaiting, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryInterval):
		}
	}
}

// asItShould reports whether who stops the balancer need not know of an error: what was
// under way ended for that, or the interface went or changed just before, as when the
// whole machine stops.
func asItShould(err error) bool {
	return isOneOf(err, context.Canceled, errInterfaceGone)
}

// isOneOf reports whether an error is any of those.
func isOneOf(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
}

// tellWaiting says why nothing is served, unless it was said already.
func (d *daemon) tellWaiting(why error) {
	if d.because(api.StateWaiting, why) {
		return
	}
	text := "waiting for the interface"
	if !gone(why) {
		text = "the interface can't be served; trying again"
	}
	d.events.Record(events.Event{Kind: events.Waiting, Severity: events.Warning, Interface: d.config.Interfaces.String(), Text: text, Reason: why.Error()})
}

// serve works on the interfaces as long as one is there. served tells whether it ever
// came to work.
func (d *daemon) serve(ctx context.Context) (served bool, err error) {
	// At first the sockets come after a plan, and so after what the kernel knows; later,
	// what is known stays until an interface is really served again.
	again := d.in(api.StateWaiting)
	if again {
		err = d.reseat()
	}
	var indexes []int
	if err == nil {
		indexes, err = d.present(!again)
	}
	if err != nil {
		return false, doctor.AsMachine(err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer func() {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			err = cause
		}
	}()
	k := newKeeper(d, indexes, stop)
	watcher, err := d.follow(k)
	if err != nil {
		return false, err
	}
	defer watcher.Close()
	if !again {
		err = d.control.Attach(ctx, watcher)
	}
	if err == nil {
		k.index, err = d.acquire(indexes, !again)
	}
	if err != nil {
		return false, err
	}
	defer func() {
		if rerr := d.engine.Release(); rerr != nil && err == nil {
			err = rerr
		}
	}()
	if again {
		err = d.control.Attach(ctx, watcher)
	}
	if err == nil {
		err = d.learn(ctx)
	}
	if err != nil {
		return false, err
	}
	d.logServing(k.index)
	d.tellMeetings()
	defer k.end()
	if err := k.begin(); err != nil {
		return false, err
	}
	d.enter(api.StateServing, nil)
	d.serveAddresses(true)
	defer d.serveAddresses(false)
	d.tell("READY=1")
	var keeping sync.WaitGroup
	keeping.Go(func() { k.run(ctx) })
	defer keeping.Wait()
	defer stop(nil)
	return true, d.engine.Run(ctx)
}

// follow watches what the kernel knows of the interfaces and of the ways by them, and tells
// keeper and control plane when that changes. The watcher is the caller's to close.
func (d *daemon) follow(k *keeper) (w *egress.Watcher, err error) {
	k.watcher, err = egress.New(d.config.Interfaces, d.names(), d.log.Named("egress"), func() {
		k.kick()
		d.control.Notify()
	})
	return k.watcher, err
}

// learn asks the backends, and waits a moment for what they answer.
func (d *daemon) learn(ctx context.Context) error {
	if err := d.control.Probe(ctx); err != nil {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, firstAnswers)
	defer cancel()
	d.control.Settled(bounded)
	return nil
}

// logServing says what was taken of the interfaces, and notes it.
func (d *daemon) logServing(indexes []int) {
	in := d.engine.Info()
	for i, index := range indexes {
		if index != 0 {
			d.here(i)
			d.logPort(&in, i)
		}
	}
}

// logPort says how an interface is served.
func (d *daemon) logPort(in *engine.Info, i int) {
	p := &in.Ports[i]
	d.events.Record(events.Event{
		Kind: events.Serving, Severity: events.Info, Interface: p.Name, Text: "serving the interface",
		Reason: fmt.Sprintf("%d queues, XDP %s", len(p.Queues()), p.Attached),
	})
	d.logSockets(in, i, 0)
	if d.config.Spec.RepliesReturn() { // who adds such a service later finds it in the status
		for _, why := range p.Punt.Obstacles {
			d.events.Record(events.Event{
				Kind: events.Punt, Severity: events.Warning, Interface: p.Name,
				Text: "what is steered and nobody's can't all be given back to the kernel", Reason: why,
			})
		}
	}
	if p.Attached == bpf.Generic && d.config.XDPMode != config.XDPGeneric {
		d.events.Record(events.Event{
			Kind: events.Generic, Severity: events.Warning, Interface: p.Name,
			Text: "XDP runs in generic mode, which is slow: the interface's driver takes no native program",
		})
	}
	if p.Apart != "" {
		d.events.Record(events.Event{
			Kind: events.Copied, Severity: events.Warning, Interface: p.Name,
			Text: "packets that cross to an interface, and from it, are copied", Reason: p.Apart,
		})
	}
}

// logSockets says how the queues of an interface are served, from that of a worker on.
func (d *daemon) logSockets(in *engine.Info, i, worker int) {
	p := &in.Ports[i]
	for ; worker < len(p.Sockets); worker++ {
		s := &p.Sockets[worker]
		if !s.Receives() {
			continue
		}
		d.log.Info("serving", zap.String("interface", p.Name), zap.Int("queue", s.Queue), zap.Int("cpu", in.Workers[worker].CPU),
			zap.String("driver", string(s.Driver)), zap.String("xdp", string(p.Attached)), zap.String("bind", string(s.Mode)),
			zap.Uint32("frame", s.FrameSize), zap.Int("max_mtu", s.MaxMTU()), zap.Int("tx_budget", s.TxBudget))
	}
}
