package daemon

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/xsk"
)

// errAnew ends the serving of an interface that is to be served anew, since its sockets
// are not right for it any more.
var errAnew = errors.New("the interface has changed")

// watchNIC follows what the interface is, while it is served. The watcher is the caller's
// to close; it calls stop when the interface goes, or has to be served anew.
func (d *daemon) watchNIC(ifindex int, stop context.CancelCauseFunc) (*nic.Watcher, error) {
	return nic.Watch(d.config.Interface, d.log.Named("nic"), func(now nic.State) error {
		if now.Index != ifindex { // another one of its name, which was not served yet
			stop(errInterfaceGone)
			return nil
		}
		in := d.engine.Info()
		if why := d.outgrown(&now, &in); why != nil {
			stop(fmt.Errorf("%w: %w", errAnew, why))
			return nil
		}
		trouble := d.extend(&now, &in)
		in = d.engine.Info()
		s := servedBy(&in, d.engine.CPUs())
		s.trouble = trouble
		d.find(findings(&now, &s))
		return trouble
	})
}

// outgrown returns why the sockets that there are can't be kept: a queue is gone, or its
// TX queue. Or it is better not to, and there is memory to serve all anew, which is more
// than nothing: a TX queue has come, or frames of a larger size would take what the MTU
// allows.
func (d *daemon) outgrown(now *nic.State, in *engine.Info) error {
	sending := func(queue int) error {
		return fmt.Errorf("%s sends by %d queues now, and queue %d is not set up for that", now.Name, now.TX, queue)
	}
	var better error
	for i := range in.Workers {
		w := &in.Workers[i]
		lacks, most := w.Queue >= now.TX, w.Socket.MaxMTU()
		switch {
		case w.Queue >= now.RX:
			return fmt.Errorf("queue %d of %s is gone, %d are left", w.Queue, now.Name, now.RX)
		case w.Socket.Mode == xsk.ModeCopy && lacks && !w.Socket.Detour:
			return sending(w.Queue)
		case w.Socket.Detour && !lacks:
			better = sending(w.Queue)
		case now.MTU > most && most < xsk.MaxMTU(xsk.ModeCopy) && d.config.XDPMode != config.XDPZeroCopy:
			better = fmt.Errorf("an MTU of %d wants larger frames than those for %d", now.MTU, most)
		}
	}
	if better != nil && d.fits(now) != nil {
		return nil
	}
	return better
}

// extend serves queues that have come, as far as they are to be served. The error is why
// some are not.
func (d *daemon) extend(now *nic.State, in *engine.Info) error {
	if err := d.fits(now); err != nil {
		return err
	}
	if err := d.engine.Extend(); err != nil {
		return err
	}
	served := d.engine.Info()
	if more := served.Workers[len(in.Workers):]; len(more) > 0 {
		d.log.Info("the interface has got queues", zap.String("interface", now.Name), zap.Int("rx", now.RX), zap.Int("tx", now.TX))
		d.logWorkers(&served, more)
	}
	return nil
}

// gone reports whether an error says that there is no interface.
func gone(err error) bool {
	return isOneOf(err, errInterfaceGone, nic.ErrNoInterface, xsk.ErrNoInterface, xsk.ErrGone)
}
