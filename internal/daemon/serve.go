package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/internal/neighbour"
	"github.com/afxlb/afxlb/xsk"
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
	for {
		served, err := d.serve(ctx)
		if ctx.Err() != nil {
			return err
		}
		if !served && !d.in(stateWaiting) {
			return err
		}
		if !d.in(stateWaiting) {
			d.log.Warn("waiting for the interface", zap.String("interface", d.config.Interface), zap.Error(err))
		}
		d.control.Attach(nil)
		d.enter(stateWaiting, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryInterval):
		}
	}
}

// serve works on the interface as long as it is there. served tells whether it ever
// came to work.
func (d *daemon) serve(ctx context.Context) (served bool, err error) {
	name := d.config.Interface
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return false, MachineError{Err: fmt.Errorf("find %s: %w", name, xsk.ErrNoInterface)}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watcher, err := d.follow(iface, stop)
	if err != nil {
		return false, err
	}
	defer watcher.Close()
	if err := d.control.Sync(ctx); err != nil {
		return false, err
	}
	if err := d.engine.Acquire(iface.Index); err != nil {
		return false, Cannot(err)
	}
	defer func() {
		if rerr := d.engine.Release(); rerr != nil && err == nil {
			err = rerr
		}
	}()
	if err := d.learn(ctx); err != nil {
		return false, err
	}
	d.enter(stateServing, nil)
	d.logServing()
	d.tell("READY=1")
	err = d.engine.Run(ctx)
	if cause := context.Cause(ctx); err == nil && errors.Is(cause, errInterfaceGone) {
		err = cause
	}
	return true, err
}

// follow has the control plane follow what the kernel knows of the interface. The
// watcher that it returns is the caller's to close. It calls stop when the interface
// goes.
func (d *daemon) follow(iface *net.Interface, stop context.CancelCauseFunc) (w *neighbour.Watcher, err error) {
	attached := make(chan struct{})
	w, err = neighbour.New(iface.Name, d.log.Named("neighbour"), func() {
		<-attached
		if s := w.Snapshot(); s.Gone || s.Ifindex != iface.Index {
			stop(errInterfaceGone)
		}
		d.control.Notify()
	})
	if err != nil {
		return nil, err
	}
	close(attached)
	d.control.Attach(w)
	return w, nil
}

// learn asks the backends, and waits a moment for what they answer.
func (d *daemon) learn(ctx context.Context) error {
	if err := d.control.Probe(ctx); err != nil {
		return err
	}
	select {
	case <-d.control.Settled():
	case <-time.After(firstAnswers):
	case <-ctx.Done():
	}
	return nil
}

// logServing says what was taken.
func (d *daemon) logServing() {
	in := d.engine.Info()
	for _, w := range in.Workers {
		d.log.Info("serving", zap.String("interface", d.config.Interface), zap.Int("queue", w.Queue), zap.Int("cpu", w.CPU),
			zap.String("driver", string(w.Socket.Driver)), zap.String("xdp", string(in.Attached)), zap.String("bind", string(w.Socket.Mode)),
			zap.Int("tx_budget", w.Socket.TxBudget))
	}
	if in.Attached == "generic" && d.config.XDPMode != "generic" {
		d.log.Warn("XDP runs in generic mode, which is slow: the interface's driver takes no native program")
	}
}
