package engine

import (
	"cmp"
	"errors"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/punt"
	"github.com/afxlb/afxlb/xsk"
)

// arms are what a worker has of the kernel: its sockets and ways back, by port. The worker
// takes turns between those that receive, a batch each.
type arms struct {
	sockets [maxPorts]*xsk.Socket // nil: none
	devices [maxPorts]*punt.Device

	receives []uint8 // ports whose sockets receive
	alarm    *xsk.Alarm
	poller   *xsk.Poller
}

// order has the worker do something between two batches, when nobody else touches what is its
// own; it may be asleep. Whoever gives the order waits until it is carried out before giving
// another one: see [Engine.tell].
func (w *worker) order(do func()) {
	w.duty.Lock()
	defer w.duty.Unlock()
	if w.running {
		w.orders.Store(&do)
		return
	}
	do()
}

// begin makes the worker, which is about to run, the one that takes its orders.
func (w *worker) begin() {
	w.duty.Lock()
	defer w.duty.Unlock()
	w.running = true
	w.beat()
}

// cease is the reverse, with the last order carried out.
func (w *worker) cease() {
	w.duty.Lock()
	defer w.duty.Unlock()
	w.running = false
	w.beats.Store(0)
	w.obey()
}

// obey does what was ordered, if anything was.
func (w *worker) obey() {
	if do := w.orders.Swap(nil); do != nil {
		(*do)()
	}
}

// adoptAtRest makes t the table of a worker without a queue. If its thread is there all the
// same, it takes it by itself.
func (w *worker) adoptAtRest(t *balancer.Table) {
	w.duty.Lock()
	defer w.duty.Unlock()
	if !w.running {
		w.adopt(t)
		w.publish()
	}
}

// rearm makes a the worker's. Only the owner of the frames, or who stands in for it, may do
// so: it closes the sockets that are not in use any more, of which the error is, and gives new
// ones frames.
func (w *worker) rearm(a *arms) error {
	var receiving []*xsk.Socket
	for i, s := range a.sockets {
		if receives(s) {
			a.receives = append(a.receives, uint8(i))
			receiving = append(receiving, s)
		}
	}
	a.poller = xsk.NewPoller(receiving, a.alarm)
	var errs []error
	if w.arms != nil {
		for i, s := range w.arms.sockets {
			if s != nil && s != a.sockets[i] {
				errs = append(errs, s.Close())
			}
		}
	}
	for _, s := range a.sockets {
		if s != nil {
			s.Recycle()
		}
	}
	w.arms, w.owed, w.turn = a, 0, 0
	w.socket, w.device = nil, &nowhere
	if len(a.receives) > 0 {
		w.enter(a.receives[0])
	}
	w.published.mu.Lock()
	defer w.published.mu.Unlock()
	w.published.frames = w.account()
	return errors.Join(errs...)
}

// enter makes the port that of the next batch.
func (w *worker) enter(port uint8) {
	w.port, w.in = port, balancer.LinkID(port).Word(0)
	w.socket, w.device = w.arms.sockets[port], cmp.Or(w.arms.devices[port], &nowhere)
	if w.table != nil {
		w.source = w.table.Ports[port].MAC.Word()
	}
}

// next goes on to the next port that receives.
func (w *worker) next() {
	w.turn++
	if w.turn >= len(w.arms.receives) {
		w.turn = 0
	}
	w.enter(w.arms.receives[w.turn])
}

// account returns whose the worker's frames are; zero without a socket.
func (w *worker) account() (sum xsk.Account) {
	for i, s := range w.arms.sockets {
		if s != nil && !w.accounted(i) {
			sum.Add(s.Account())
		}
	}
	return sum
}

// accounted reports whether the frames of a port's socket are those of one before.
func (w *worker) accounted(port int) bool {
	for _, s := range w.arms.sockets[:port] {
		if s != nil && s.UMEM() == w.arms.sockets[port].UMEM() {
			return true
		}
	}
	return false
}

// push has the kernel look at the TX rings that have something on them, and gives it the
// frames that have come back. It reports whether something is left on one of them.
func (w *worker) push() (pending bool, err error) {
	for _, s := range w.arms.sockets {
		if s == nil {
			continue
		}
		if s.Pending() > 0 {
			pending = true
			if err := s.Flush(); errors.Is(err, xsk.ErrGone) {
				return pending, err
			}
		}
		s.Recycle()
	}
	return pending, nil
}

// look closes the sockets of interfaces that are gone. One without packets tells that by the end
// of a sleep, for which a worker that others keep busy, or wake again and again, never has the
// time. It is asked whenever there is a time, and does so at the distance of publishInterval.
func (w *worker) look() error {
	if !w.several || w.now-w.looked < publishInterval {
		return nil // alone: it is the error of whoever sleeps, or sends
	}
	w.looked = w.now
	if err := w.arms.poller.Gone(); err != nil {
		return w.bereave(err)
	}
	return nil
}

// bereave handles an error that says that an interface is gone. Where several are served the
// worker goes on with the others.
func (w *worker) bereave(err error) error {
	if !w.several {
		return err
	}
	for _, s := range w.arms.sockets {
		if s != nil && s.Gone() {
			if err := s.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}
