package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/internal/punt"
	"github.com/afxlb/afxlb/xsk"
)

// lease is what the engine has of the kernel while it serves an interface. It is not
// changed once the workers have it.
type lease struct {
	program  *bpf.Program // nil: offline
	ifindex  int          // of the interface that the program is on
	attached bpf.AttachMode
	rx       int           // RX queues that the interface had when it was last asked
	sockets  []*xsk.Socket // by worker
	device   *punt.Device  // the way back to the kernel; nil: none
}

// Acquire attaches the steering program to the interface and opens a socket per queue,
// in the network namespace of the calling thread: all that [Engine.Run] needs of the
// kernel, and what a successor of this process could be given instead of making it anew.
// On an error nothing is left behind. After an Acquire there must be a Release or a
// Suspend before the next one.
//
// The program goes first: if another instance serves the interface, the kernel
// refuses here, before anything of the other's was touched. Only then the interface is
// asked for its queues: a driver may get some by the attachment (virtnet_xdp_set of
// drivers/net/virtio_net.c makes its spare pairs receive).
func (e *Engine) Acquire(ifindex int) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	if err := xsk.Probe(); err != nil {
		return err
	}
	l := &lease{}
	if e.suspended != nil && e.suspended.ifindex == ifindex {
		l, e.suspended = e.suspended, nil
	}
	if err := errors.Join(e.giveUp(), l.acquire(e, ifindex)); err != nil {
		return errors.Join(err, l.release())
	}
	e.hand(l)
	return nil
}

func (l *lease) acquire(e *Engine, ifindex int) (err error) {
	if l.program == nil {
		if l.program, err = bpf.Load(bpf.Config{Limits: bpf.DefaultLimits()}); err != nil {
			return err
		}
	}
	if err := l.program.Apply(e.plan); err != nil {
		return err
	}
	if l.ifindex != ifindex {
		if l.attached, err = l.program.Attach(ifindex, attachModes(e.config.Mode)...); err != nil {
			return err
		}
		l.ifindex = ifindex
	}
	if err := l.open(e); err != nil {
		return err
	}
	l.device = punt.Open(e.config.Interface, len(l.sockets))
	return nil
}

// open opens sockets on those queues that should have one and have none. On an error
// some of them may have.
func (l *lease) open(e *Engine) error {
	now, err := nic.Look(e.config.Interface)
	if err != nil {
		return err
	}
	queues, err := Queues(e.config.Queues, now.RX)
	if err != nil {
		return fmt.Errorf("%s: %w", e.config.Interface, err)
	}
	if len(queues) > conntrack.MaxWorkers {
		return fmt.Errorf("%s has %d queues, of which %d can be served: name them: %w", e.config.Interface, len(queues), conntrack.MaxWorkers, xsk.ErrNotSupported)
	}
	e.recruit(queues)
	if l.rx != 0 && l.rx != now.RX {
		if err := l.program.Renew(); err != nil {
			return err
		}
	}
	l.rx = now.RX
	for i := len(l.sockets); i < len(queues); i++ {
		s, err := xsk.Open(xsk.Config{
			Interface: e.config.Interface, Queue: queues[i], TxQueues: now.TX, Driver: e.config.Driver, Mode: e.config.Mode,
		})
		if err != nil {
			return err
		}
		if err := l.program.SetSocket(queues[i], s.FD()); err != nil {
			return errors.Join(fmt.Errorf("steer queue %d of %s: %w", queues[i], e.config.Interface, err), s.Close())
		}
		l.sockets = append(l.sockets, s)
	}
	return nil
}

// Extend serves the queues that the interface has got since Acquire, if they are to be
// served, and sees to it that the program runs on all of them: what comes by one that is
// not served must be counted. Nothing that is served is disturbed, and Run may run. An
// error is about the new queues, of which some may be served all the same.
func (e *Engine) Extend() error {
	e.changing.Lock()
	defer e.changing.Unlock()
	if e.lease == nil || e.lease.program == nil {
		return nil
	}
	next := *e.lease
	next.sockets = slices.Clone(next.sockets)
	err := next.open(e)
	e.join(&next)
	if err != nil {
		return fmt.Errorf("serve more queues of %s: %w", e.config.Interface, err)
	}
	return nil
}

// attachModes returns the XDP modes to try for a bind mode: generic is slow, so
// it is a last resort of auto and otherwise taken only when asked for.
func attachModes(m xsk.Mode) []bpf.AttachMode {
	switch m {
	case xsk.ModeGeneric:
		return []bpf.AttachMode{bpf.Generic}
	case xsk.ModeAuto:
		return []bpf.AttachMode{bpf.Native, bpf.Generic}
	default:
		return []bpf.AttachMode{bpf.Native}
	}
}

// hand gives l to the workers, none of which runs, and shows it to [Engine.Info]; nil
// takes away what they have.
func (e *Engine) hand(l *lease) {
	for i, w := range e.workers {
		if l != nil && i < len(l.sockets) {
			w.equip(l.sockets[i], l.device)
		} else {
			w.equip(nil, nil)
		}
	}
	e.show(l)
}

// join gives l, which has more sockets than the lease before, to the workers that had none,
// and has Run start them.
func (e *Engine) join(l *lease) {
	for i := len(e.lease.sockets); i < len(l.sockets); i++ {
		e.workers[i].equip(l.sockets[i], l.device)
	}
	e.show(l)
	select {
	case e.joined <- struct{}{}:
	default:
	}
}

func (e *Engine) show(l *lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lease = l
}

// nowhere is the way back to the kernel where there is none.
var nowhere punt.Device

// Release detaches the program and closes the sockets: the kernel has every packet
// again. No worker may run. It is no error if there was no Acquire.
func (e *Engine) Release() error {
	e.changing.Lock()
	defer e.changing.Unlock()
	l := e.lease
	if l == nil {
		return e.giveUp()
	}
	e.hand(nil) // before it is closed: Info must not ask what is half gone
	return l.release()
}

// Suspend is Release for who will Acquire the same interface again at once: the program
// stays, and drops what comes for the services meanwhile. The kernel would answer a
// connection of theirs by a RST.
func (e *Engine) Suspend() error {
	e.changing.Lock()
	defer e.changing.Unlock()
	l := e.lease
	if l == nil {
		return nil
	}
	e.hand(nil)
	e.suspended = &lease{program: l.program, ifindex: l.ifindex, attached: l.attached, rx: l.rx}
	sockets := &lease{sockets: l.sockets, device: l.device}
	return sockets.release()
}

// giveUp releases what was suspended.
func (e *Engine) giveUp() error {
	l := e.suspended
	if l == nil {
		return nil
	}
	e.suspended = nil
	return l.release()
}

func (l *lease) release() error {
	var errs []error
	if l.program != nil {
		errs = append(errs, l.program.Close())
	}
	for _, s := range l.sockets {
		errs = append(errs, s.Close())
	}
	if l.device != nil {
		errs = append(errs, l.device.Close())
	}
	return errors.Join(errs...)
}

const (
	// programDescriptors are the program's, its eight maps' and the link's, and those
	// that loading and attaching use for a moment: the kernel's type information and
	// the attempts that tell what the kernel can do.
	programDescriptors = 16
	// queueDescriptors are the AF_XDP socket's, that of the memory which it has its frames
	// in, that of the socket which it sends by where there is no TX queue, and the way back
	// to the kernel.
	queueDescriptors = 4
	// puntDescriptors are for the settings that the way back follows, and for a look at
	// the interfaces.
	puntDescriptors = 3
)

// Descriptors returns how many file descriptors [Engine.Acquire] needs at most for so
// many queues, including those that it has given back when it returns. A process that has
// not got as many to spare should say so before it tries.
func Descriptors(queues int) int {
	return programDescriptors + puntDescriptors + queueDescriptors*queues
}
