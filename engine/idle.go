package engine

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/xsk"
)

const (
	// spinTime is how long a worker polls an empty queue before it sleeps: about
	// what a wakeup costs, so that sleeping never loses more than it saves.
	spinTime = 50 * time.Microsecond
	// sleepTime bounds a sleep, and with it how old the counters of the last packets may
	// be, and how late a worker finds out that its interface is gone. A packet ends the
	// sleep at once, and so does an order.
	sleepTime = 250 * time.Millisecond
	// retryTime is the sleep while frames wait for the link or for the kernel.
	retryTime = 10 * time.Millisecond
	// checkEvery is how many empty polls pass between two looks at the clock.
	checkEvery = 64
)

// run works until stop is set or the interface is gone.
func (w *worker) run(stop *atomic.Bool) error {
	w.begin()
	w.adopt(w.tables.Load())
	w.flows.Grace.Quiescent(w.id)
	defer func() {
		w.flows.Grace.Offline(w.id)
		w.publish()
		w.cease()
	}()
	empty, spinning := 0, time.Time{}
	for !stop.Load() {
		if w.orders.Load() != nil {
			w.obey()
		}
		n, err := w.samplingPass()
		switch {
		case err != nil && errors.Is(err, xsk.ErrGone):
			if err := w.bereave(err); err != nil {
				return err
			}
			continue
		case n > 0:
			empty = 0
			w.count.Batches++
			if w.now-w.published.at >= publishInterval {
				w.beat()
				w.expire()
				w.publish()
				if err := w.look(); err != nil {
					return err
				}
			}
			continue
		}
		if empty++; empty == 1 {
			spinning = time.Now()
		}
		if empty%checkEvery != 0 || time.Since(spinning) < spinTime {
			continue
		}
		if err := w.rest(); errors.Is(err, xsk.ErrGone) {
			err = w.bereave(err)
			if err != nil {
				return err
			}
		}
		empty = 0
	}
	return nil
}

// rest is what a worker does when its queue has been empty for a while: it takes the
// newest table, pushes what the kernel has not taken yet, gives it the frames that have
// come back, publishes its counters and, unless it is to stay hot, sleeps until a packet
// comes.
func (w *worker) rest() error {
	w.beat()
	if t := w.tables.Load(); t != w.table {
		w.adopt(t)
		w.published.copied = ^w.count.Received // what counts for whom may have changed
	}
	sleep := w.sleep
	pending, err := w.push()
	if err != nil {
		return err
	}
	w.expire()
	// The published frames are the worker's to compare: nobody else writes them.
	if w.published.copied != w.count.Received || w.published.frames != w.account() {
		if w.now = w.clock.Now(); w.now-w.published.at >= restInterval {
			w.publish()
		} else {
			sleep = restInterval * time.Millisecond
		}
		if err := w.look(); err != nil {
			return err
		}
	}
	if pending {
		sleep = min(sleep, retryTime)
	}
	if w.busy && len(w.arms.receives) > 0 {
		w.flows.Grace.Quiescent(w.id)
		return nil
	}
	w.count.Sleeps++
	w.flows.Grace.Offline(w.id)
	err = w.arms.poller.Wait(sleep)
	w.flows.Grace.Quiescent(w.id)
	if errors.Is(err, xsk.ErrGone) {
		return err
	}
	return nil
}
