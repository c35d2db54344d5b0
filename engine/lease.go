package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/internal/punt"
	"github.com/afxlb/afxlb/xsk"
)

// lease is what the engine has of the kernel while it serves. It is not changed once the
// workers have it.
type lease struct {
	programs []*bpf.Program // by port; none: offline
	ports    []*port        // by port; nil: away
	alarm    *xsk.Alarm     // wakes the workers; nil: they may have to end their sleep
}

// Acquire attaches the steering program to the interfaces and opens a socket per queue,
// in the network namespace of the calling thread: all that [Engine.Run] needs of the
// kernel, and what a successor of this process could be given instead of making it anew.
// The interfaces are those of the config, by their indices; 0 is one that is away, which
// [Engine.Take] takes later. On an error nothing is left behind. After an Acquire there must
// be a Release before the next one.
//
// The programs go first: if another instance serves an interface, the kernel
// refuses here, before anything of the other's was touched. Only then the interface is
// asked for its queues: a driver may get some by the attachment (virtnet_xdp_set of
// drivers/net/virtio_net.c makes its spare pairs receive).
func (e *Engine) Acquire(ifindexes ...int) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	if len(ifindexes) != len(e.names) {
		return fmt.Errorf("acquire %d interfaces of %d", len(ifindexes), len(e.names))
	}
	if err := xsk.Probe(); err != nil {
		return err
	}
	l := &lease{ports: make([]*port, len(ifindexes))}
	if err := l.acquire(e, ifindexes); err != nil {
		return errors.Join(err, l.release())
	}
	if err := errors.Join(e.hand(l), l.steer()); err != nil {
		return errors.Join(err, e.hand(nil), l.release())
	}
	return nil
}

func (l *lease) acquire(e *Engine, ifindexes []int) error {
	var err error
	if l.alarm, err = xsk.NewAlarm(); err != nil {
		return err
	}
	if err := l.load(e); err != nil {
		return err
	}
	for i, index := range ifindexes { // all, before what is large
		if index == 0 {
			continue
		}
		if err := l.attach(e, i, index); err != nil {
			return err
		}
	}
	for i, index := range ifindexes {
		if index == 0 {
			continue
		}
		if err := l.open(e, i); err != nil {
			return err
		}
		l.ports[i].device = punt.Open(e.names[i], len(l.ports[i].sockets))
	}
	return l.complete(e)
}

// load loads the programs and applies the plan.
func (l *lease) load(e *Engine) error {
	for i := range e.names {
		program, err := l.loadOne(i)
		if err != nil {
			return err
		}
		l.programs = append(l.programs, program)
		if err := program.Apply(e.plan); err != nil {
			return err
		}
	}
	return nil
}

func (l *lease) loadOne(i int) (*bpf.Program, error) {
	if i == 0 {
		return bpf.Load(bpf.Config{Limits: bpf.DefaultLimits()})
	}
	return l.programs[0].Share(i)
}

// Take serves an interface that was away, with the number that it has in the config, while
// the others are at work. On an error nothing of it is left behind.
func (e *Engine) Take(number, ifindex int) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	if e.lease == nil || e.lease.ports[number] != nil {
		return fmt.Errorf("take %s: it is served, or nothing is", e.names[number])
	}
	next := e.lease.clone()
	err := next.attach(e, number, ifindex)
	if err == nil {
		err = e.outfit(next, number)
	}
	if err != nil {
		return errors.Join(err, e.drop(number))
	}
	return nil
}

// outfit opens what an interface with the program on it needs besides, and has it served.
func (e *Engine) outfit(next *lease, number int) error {
	err := next.open(e, number)
	if err == nil {
		err = next.complete(e)
	}
	if err != nil {
		return errors.Join(err, next.abandon(e.lease))
	}
	p := next.ports[number]
	p.device = punt.Open(e.names[number], len(p.sockets))
	return errors.Join(e.hand(next), next.steer())
}

// Intact returns why an interface that was taken is not served any more, though there may be
// one of its name and index: it was another one for a moment, as when it is moved to another
// network namespace and back, so that its sockets are closed; or it has lost the program. It is
// nil for one that was not taken.
func (e *Engine) Intact(number int) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	if e.lease == nil || e.lease.ports[number] == nil {
		return nil
	}
	for _, s := range e.lease.ports[number].sockets {
		if receives(s) && s.FD() < 0 {
			return fmt.Errorf("queue %d of %s: %w", s.Info().Queue, s.Info().Interface, xsk.ErrGone)
		}
	}
	if err := e.lease.programs[number].Attached(); errors.Is(err, bpf.ErrDetached) {
		return fmt.Errorf("%s: %w", e.names[number], err)
	}
	return nil // what is not known is not lost
}

// Drop lets an interface go, and leaves the others at work. It is no error if it was not
// served.
func (e *Engine) Drop(number int) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	return e.drop(number)
}

func (e *Engine) drop(number int) error {
	if e.lease == nil {
		return nil
	}
	next := e.lease.clone()
	p := next.ports[number]
	next.ports[number] = nil
	err := e.hand(next)
	if p != nil {
		err = errors.Join(err, p.close())
	}
	return errors.Join(err, e.lease.programs[number].Detach())
}

// Anew opens the sockets of an interface anew, since those that there are do not suit it any
// more, and leaves the others at work. The program stays, and drops what comes for the
// services meanwhile: the kernel would answer a connection of theirs by a RST. On an error
// the interface is not served any more.
func (e *Engine) Anew(number int) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	if e.lease == nil || e.lease.ports[number] == nil {
		return nil
	}
	bare := e.lease.clone()
	p := bare.ports[number]
	bare.ports[number] = p.bare()
	err := errors.Join(e.hand(bare), p.close())
	if err == nil {
		err = e.outfit(bare.clone(), number)
	}
	if err != nil {
		return errors.Join(err, e.drop(number))
	}
	return nil
}

// Extend serves the queues that an interface has got since Acquire, if they are to be
// served, and sees to it that the program runs on all of them: what comes by one that is
// not served must be counted. Nothing that is served is disturbed, and Run may run. An
// error is about the new queues, of which some may be served all the same.
func (e *Engine) Extend(number int) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	if e.lease == nil || len(e.lease.programs) == 0 || e.lease.ports[number] == nil {
		return nil
	}
	next := e.lease.clone()
	err := next.open(e, number)
	err = errors.Join(err, next.complete(e), e.hand(next), next.steer())
	if err != nil {
		return fmt.Errorf("serve more queues of %s: %w", e.names[number], err)
	}
	return nil
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
	return errors.Join(e.hand(nil), l.release())
}

// clone returns a copy that may be changed.
func (l *lease) clone() *lease {
	next := &lease{programs: l.programs, ports: slices.Clone(l.ports), alarm: l.alarm}
	for i, p := range next.ports {
		if p != nil {
			q := *p
			q.sockets = slices.Clone(p.sockets)
			next.ports[i] = &q
		}
	}
	return next
}

// workers returns how many workers have something to receive from.
func (l *lease) workers() (n int) {
	for _, p := range l.ports {
		if p != nil {
			n = max(n, p.reach())
		}
	}
	return n
}

// steer has the programs steer to the sockets, which have frames to receive into by now.
func (l *lease) steer() error {
	for i, program := range l.programs {
		p := l.ports[i]
		if p == nil {
			continue
		}
		for _, s := range p.sockets {
			if !receives(s) {
				continue
			}
			if err := program.SetSocket(s.Info().Queue, s.FD()); err != nil {
				return fmt.Errorf("steer queue %d of %s: %w", s.Info().Queue, s.Info().Interface, err)
			}
		}
	}
	return nil
}

// abandon closes the sockets that l has and was not, none of which a worker has seen.
func (l *lease) abandon(was *lease) error {
	old := map[*xsk.Socket]bool{}
	for _, p := range was.ports {
		if p != nil {
			for _, s := range p.sockets {
				old[s] = true
			}
		}
	}
	var errs []error
	for _, p := range l.ports {
		if p == nil {
			continue
		}
		for _, s := range p.sockets {
			if s != nil && !old[s] {
				errs = append(errs, s.Close())
			}
		}
	}
	return errors.Join(errs...)
}

func (l *lease) release() error {
	var errs []error
	for _, program := range slices.Backward(l.programs) {
		errs = append(errs, program.Close())
	}
	for _, p := range l.ports {
		if p != nil {
			errs = append(errs, p.close())
		}
	}
	return errors.Join(append(errs, l.alarm.Close())...)
}

// largestMTU returns the largest of the interfaces that l has, which the frames of all are
// made for, and whether packets of some may have several. One that has gone meanwhile has none.
func (l *lease) largestMTU(e *Engine) (mtu int, joins bool) {
	for i, p := range l.ports {
		if p == nil {
			continue
		}
		if now, err := nic.Look(e.names[i]); err == nil {
			mtu, joins = max(mtu, now.MTU), joins || e.config.Joins(&now, p.attached)
		}
	}
	return mtu, joins
}

const (
	// programDescriptors are the program's, its eight maps' and the link's, and those
	// that loading and attaching use for a moment: the kernel's type information and
	// the attempts that tell what the kernel can do.
	programDescriptors = 16
	// alarmDescriptors are those of the alarm that wakes the workers.
	alarmDescriptors = 1
	// queueDescriptors are the AF_XDP socket's, that of the memory which it has its frames
	// in, that of the socket which it sends by where there is no TX queue, and the way back
	// to the kernel.
	queueDescriptors = 4
	// puntDescriptors are for the settings that the way back follows, and for a look at
	// the interfaces.
	puntDescriptors = 3
)

// Descriptors returns how many file descriptors [Engine.Acquire] needs at most for so
// many interfaces and queues of each, including those that it has given back when it
// returns. A process that has not got as many to spare should say so before it tries.
func Descriptors(ports, queues int) int {
	return alarmDescriptors + ports*(programDescriptors+puntDescriptors+queueDescriptors*queues)
}
