package engine

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/punt"
	"github.com/afxlb/afxlb/xsk"
)

// lease is what the engine has of the kernel while it serves an interface.
type lease struct {
	program  *bpf.Program // nil: offline
	attached bpf.AttachMode
	sockets  []*xsk.Socket // by worker
	device   *punt.Device  // the way back to the kernel; nil: none
}

// Acquire attaches the steering program to the interface and opens a socket per queue,
// in the network namespace of the calling thread: all that [Engine.Run] needs of the
// kernel, and what a successor of this process could be given instead of making it anew.
// On an error nothing is left behind. After an Acquire there must be a Release before
// the next one.
//
// The program goes first: if another instance serves the interface, the kernel
// refuses here, before anything of the other's was touched.
func (e *Engine) Acquire(ifindex int) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	if err := xsk.Probe(); err != nil {
		return err
	}
	l := &lease{}
	if err := l.acquire(e, ifindex); err != nil {
		return errors.Join(err, l.release())
	}
	e.hand(l)
	return nil
}

func (l *lease) acquire(e *Engine, ifindex int) (err error) {
	if l.program, err = bpf.Load(bpf.Config{Limits: bpf.DefaultLimits()}); err != nil {
		return err
	}
	if err := l.program.Apply(e.plan); err != nil {
		return err
	}
	if l.attached, err = l.program.Attach(ifindex, attachModes(e.config.Mode)...); err != nil {
		return err
	}
	for _, w := range e.workers {
		s, err := xsk.Open(xsk.Config{Interface: e.config.Interface, Queue: w.queue, Driver: e.config.Driver, Mode: e.config.Mode})
		if err != nil {
			return err
		}
		l.sockets = append(l.sockets, s)
		if err := l.program.SetSocket(w.queue, s.FD()); err != nil {
			return fmt.Errorf("steer queue %d of %s: %w", w.queue, e.config.Interface, err)
		}
	}
	l.device = punt.Open(e.config.Interface, len(e.workers))
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
		w.socket, w.device = nil, &nowhere
		if l != nil {
			w.socket, w.device = l.sockets[i], cmp.Or(l.device, &nowhere)
		}
	}
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
		return nil
	}
	e.hand(nil) // before it is closed: Info must not ask what is half gone
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
	// in, and the way back to the kernel.
	queueDescriptors = 3
	// puntDescriptors are for the settings that the way back follows, and for a look at
	// the interfaces.
	puntDescriptors = 3
)

// Descriptors returns how many file descriptors [Engine.Acquire] needs at most,
// including those that it has given back when it returns. A process that has not got as
// many to spare should say so before it tries.
func (e *Engine) Descriptors() int {
	return programDescriptors + puntDescriptors + queueDescriptors*len(e.workers)
}
