package daemon

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/nic"
)

// errInterfaceGone ends the serving of an interface that disappears.
var errInterfaceGone = errors.New("the interface is gone")

// retryInterval is how often an interface that went away is looked for.
const retryInterval = time.Second

// firstAnswers bounds how long the workers wait for what the backends answer first.
// Packets that come meanwhile are in the RX rings.
const firstAnswers = 500 * time.Millisecond

// serveUntil serves the interface whenever it is there, until ctx ends.
func (d *daemon) serveUntil(ctx context.Context) error {
	for ever := false; ; {
		served, err := d.serve(ctx)
		ever = ever || served
		if errors.Is(err, errAnew) && ctx.Err() == nil {
			d.log.Warn("serving anew", zap.String("interface", d.config.Interface), zap.Error(err))
			continue
		}
		rerr := d.engine.Release() // what was to be served anew, and can't be
		if ctx.Err() != nil {
			if asItShould(err) {
				err = nil
			}
			return errors.Join(err, rerr)
		}
		if !ever {
			return errors.Join(err, rerr)
		}
		if rerr != nil {
			d.log.Error("let go of the interface", zap.Error(rerr))
		}
		d.tellWaiting(err)
		if !d.in(api.StateWaiting) { // else nobody has taken up the interface since
			if err := d.control.Attach(ctx, nil); err != nil {
				d.log.Error("let go of the interface", zap.Error(err))
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
	return isOneOf(err, context.Canceled, errAnew, errInterfaceGone)
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
	d.log.Warn(text, zap.String("interface", d.config.Interface), zap.Error(why))
}

// serve works on the interface as long as it is there. served tells whether it ever
// came to work.
func (d *daemon) serve(ctx context.Context) (served bool, err error) {
	now, err := nic.Look(d.config.Interface)
	if err == nil {
		err = d.fits(&now) // it may be another one than at the start
	}
	if err != nil {
		return false, Cannot(err)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer func() {
		if cause := context.Cause(ctx); errors.Is(cause, errInterfaceGone) || errors.Is(cause, errAnew) {
			err = cause
		}
	}()
	watcher, err := d.follow(now.Index, stop)
	if err != nil {
		return false, err
	}
	defer watcher.Close()
	// At first the sockets come after a plan, and so after what the kernel knows; later,
	// what is known stays until the interface is really served again.
	again := d.in(api.StateWaiting)
	if !again {
		err = d.control.Attach(ctx, watcher)
	}
	if err == nil {
		err = Cannot(d.engine.Acquire(now.Index))
	}
	if err != nil {
		return false, err
	}
	defer func() {
		release := d.engine.Release
		if errors.Is(context.Cause(ctx), errAnew) {
			release = d.engine.Suspend
		}
		if rerr := release(); rerr != nil && err == nil {
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
	d.logServing()
	d.tellMeetings()
	follower, err := d.watchNIC(now.Index, stop)
	if err != nil {
		return false, Cannot(err)
	}
	defer follower.Close()
	d.enter(api.StateServing, nil)
	d.tell("READY=1")
	return true, d.engine.Run(ctx)
}

// follow watches what the kernel knows of the interface, and tells the control plane
// when that changes. The watcher is the caller's to close. It calls stop when the
// interface goes.
func (d *daemon) follow(ifindex int, stop context.CancelCauseFunc) (w *egress.Watcher, err error) {
	made := make(chan struct{})
	defer close(made)
	return egress.New([]string{d.config.Interface}, d.log.Named("egress"), func() {
		<-made
		if w.Snapshot().Ports[0].Ifindex != ifindex {
			stop(errInterfaceGone)
		}
		d.control.Notify()
	})
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

// logServing says what was taken.
func (d *daemon) logServing() {
	in := d.engine.Info()
	d.logWorkers(&in, in.Workers)
	d.logObstacles(&in)
	if in.Attached == bpf.Generic && d.config.XDPMode != config.XDPGeneric {
		d.log.Warn("XDP runs in generic mode, which is slow: the interface's driver takes no native program")
	}
}

// logObstacles says what stands in the way back to the kernel, if a service has something
// to send there. Who adds such a service later finds it in the status.
func (d *daemon) logObstacles(in *engine.Info) {
	if !d.config.Spec.RepliesReturn() {
		return
	}
	for _, why := range in.Punt.Obstacles {
		d.log.Warn("what is steered and nobody's can't all be given back to the kernel", zap.String("obstacle", why))
	}
}

// logWorkers says how the queues of some of the workers are served.
func (d *daemon) logWorkers(in *engine.Info, workers []engine.WorkerInfo) {
	for _, w := range workers {
		d.log.Info("serving", zap.String("interface", d.config.Interface), zap.Int("queue", w.Queue), zap.Int("cpu", w.CPU),
			zap.String("driver", string(w.Socket.Driver)), zap.String("xdp", string(in.Attached)), zap.String("bind", string(w.Socket.Mode)),
			zap.Uint32("frame", w.Socket.FrameSize), zap.Int("tx_budget", w.Socket.TxBudget))
	}
}
