package engine

import (
	"errors"
	"fmt"
	"sync"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/internal/punt"
	"github.com/afxlb/afxlb/xsk"
)

// port is what the engine has of one interface. Worker i serves the i-th queue of each
// port, on frames that all its sockets share, so that a packet crosses from one interface
// to another without a copy.
type port struct {
	ifindex  int // of the interface that the program is on
	attached bpf.AttachMode
	rx       int           // RX queues that the interface had when it was last asked
	sockets  []*xsk.Socket // by worker; one without a queue here only sends; nil: none
	device   *punt.Device  // the way back to the kernel; nil: none
	apart    string        // why its sockets can't share the others' frames; empty: they do
}

// bare returns p without its sockets and its way back.
func (p *port) bare() *port {
	return &port{ifindex: p.ifindex, attached: p.attached, rx: p.rx}
}

// receives reports whether a socket is there and has a queue.
func receives(s *xsk.Socket) bool { return s != nil && s.Info().Queue != xsk.NoQueue }

// reach returns how many workers there have to be to serve its queues.
func (p *port) reach() int {
	for i := len(p.sockets); i > 0; i-- {
		if receives(p.sockets[i-1]) {
			return i
		}
	}
	return 0
}

// attach attaches the program of a port that is away.
func (l *lease) attach(e *Engine, number, ifindex int) error {
	modes := attachModes(e.config.Mode)
	if now, err := nic.Look(e.names[number]); err == nil && e.config.Joins(&now, "") {
		if err := l.programs[number].TakeFrags(); err != nil {
			return err
		}
		if now.NoFrags && e.config.Mode == xsk.ModeAuto {
			modes = []bpf.AttachMode{bpf.Generic}
		}
	}
	mode, err := l.programs[number].Attach(ifindex, modes...)
	if err != nil {
		return err
	}
	l.ports[number] = &port{ifindex: ifindex, attached: mode}
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

// open opens sockets on those queues of a port that should have one and have none. On an
// error some of them may have.
func (l *lease) open(e *Engine, number int) error {
	name, p := e.names[number], l.ports[number]
	now, err := nic.Look(name)
	if err == nil && now.Index != p.ifindex {
		err = fmt.Errorf("%s is another interface now than the program is on: %w", name, xsk.ErrNoInterface)
	}
	if err != nil {
		return err
	}
	mtu, joins := l.largestMTU(e)
	queues, err := Queues(e.several(), e.config.Queues, now.RX)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(queues) > conntrack.MaxWorkers {
		return fmt.Errorf("%s has %d queues, of which %d can be served: name them: %w", name, len(queues), conntrack.MaxWorkers, xsk.ErrNotSupported)
	}
	if len(e.config.Queues) > 0 {
		e.recruit(e.config.Queues)
	} else {
		e.recruit(queues)
	}
	if e.config.Joins(&now, p.attached) {
		if err := l.programs[number].TakeFrags(); err != nil {
			return err
		}
	}
	if p.rx != 0 && p.rx != now.RX {
		if err := l.programs[number].Renew(); err != nil {
			return err
		}
	}
	p.rx = now.RX
	for i, queue := range queues {
		if queue == xsk.NoQueue || i < len(p.sockets) && receives(p.sockets[i]) {
			continue
		}
		c := xsk.Config{Interface: name, Queue: queue, TxQueues: now.TX, Driver: e.config.Driver, Mode: e.config.Mode, NoZeroCopy: now.NoZeroCopy, FrameSize: e.config.FrameSize, MTU: mtu, MultiBuffer: joins}
		if e.several() {
			c.Frames = e.frames()
		}
		s, err := p.bind(c, l.home(i, number))
		if err != nil {
			return err
		}
		p.put(i, s)
	}
	return nil
}

// put makes s the socket of a worker. What it had is the worker's to close.
func (p *port) put(worker int, s *xsk.Socket) {
	for len(p.sockets) <= worker {
		p.sockets = append(p.sockets, nil)
	}
	p.sockets[worker] = s
}

// bind opens a socket on the frames of another one of the worker, or if there is none, or
// if that can't be, or would cost it its zero-copy, on frames of its own.
func (p *port) bind(c xsk.Config, home *xsk.Socket) (*xsk.Socket, error) {
	if home == nil {
		return xsk.Open(c)
	}
	if c.Mode == xsk.ModeAuto && home.Info().Mode == xsk.ModeCopy && !c.NoZeroCopy {
		alone := c
		alone.Mode = xsk.ModeZeroCopy
		if s, err := xsk.Open(alone); err == nil {
			p.apart = fmt.Sprintf("%s has zero-copy, and %s has not", c.Interface, home.Info().Interface)
			return s, nil
		}
	}
	shared := c
	shared.Share = home
	s, err := xsk.Open(shared)
	if !errors.Is(err, xsk.ErrNotSupported) {
		return s, err
	}
	p.apart = err.Error()
	return xsk.Open(c)
}

// home returns a socket with a queue, and so with frames, that a worker has on another port
// than that with the number; nil if it has none.
func (l *lease) home(worker, but int) *xsk.Socket {
	for i, p := range l.ports {
		if i != but && p != nil && worker < len(p.sockets) && receives(p.sockets[worker]) {
			return p.sockets[worker]
		}
	}
	return nil
}

// copies reports whether some worker has frames on a port that are not those of another one: why
// they could not be shared is of the moment when the sockets were opened, and the other's may
// have been opened anew since.
func (l *lease) copies(number int) bool {
	for worker, s := range l.ports[number].sockets {
		for _, p := range l.ports {
			if p != nil && receives(s) && worker < len(p.sockets) && receives(p.sockets[worker]) && p.sockets[worker].UMEM() != s.UMEM() {
				return true
			}
		}
	}
	return false
}

// complete sees to it that each worker can send by each port: where there is no queue of its
// number, by a socket that does only that.
func (l *lease) complete(e *Engine) error {
	for i, p := range l.ports {
		if p == nil {
			continue
		}
		for worker := range l.workers() {
			home := l.home(worker, i)
			if home == nil || worker < len(p.sockets) && (receives(p.sockets[worker]) || p.sockets[worker] != nil && p.sockets[worker].UMEM() == home.UMEM()) {
				continue
			}
			s, err := xsk.OpenSender(e.names[i], home)
			if err != nil {
				return err
			}
			p.put(worker, s)
		}
	}
	return nil
}

func (p *port) close() error {
	var errs []error
	for _, s := range p.sockets {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if p.device != nil {
		errs = append(errs, p.device.Close())
	}
	return errors.Join(errs...)
}

// arms returns what a worker has of the lease, of which there need not be one.
func (l *lease) arms(worker int) *arms {
	a := &arms{}
	if l == nil {
		return a
	}
	a.alarm = l.alarm
	for i, p := range l.ports {
		if p == nil || worker >= len(p.sockets) || p.sockets[worker] == nil {
			continue
		}
		a.sockets[i], a.devices[i] = p.sockets[worker], p.device
	}
	return a
}

// hand gives l to the workers, whether they run or not, and shows it to [Engine.Info]; nil
// takes away what they have. It returns when all of them have it, and the sockets that they
// do not have any more are closed. Run starts those that come.
func (e *Engine) hand(l *lease) error {
	alarm := e.alarm() // of what they have
	if l == nil {
		e.show(nil) // before it is closed: Info must not ask what is half gone
	}
	all := e.all()
	errs := make([]error, len(all))
	tell(all, alarm, func(w *worker) { errs[w.id] = w.rearm(l.arms(w.id)) })
	if l != nil {
		e.show(l)
		select {
		case e.joined <- struct{}{}:
		default:
		}
	}
	return errors.Join(errs...)
}

// tell has workers, whom the alarm wakes, do something between two batches each, and returns
// when all have. The caller holds Engine.changing, or is the only one to give orders.
func tell(workers []*worker, alarm *xsk.Alarm, do func(*worker)) {
	var all sync.WaitGroup
	all.Add(len(workers))
	for _, w := range workers {
		w.order(func() {
			defer all.Done()
			do(w)
		})
	}
	alarm.Raise()
	all.Wait()
	alarm.Lower()
}

// alarm returns what wakes the workers.
func (e *Engine) alarm() *xsk.Alarm {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.lease == nil {
		return nil
	}
	return e.lease.alarm
}

func (e *Engine) show(l *lease) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.part(e.lease, l)
	e.lease = l
}

// maxPorts is how many interfaces an engine serves at most.
const maxPorts = balancer.MaxPorts
