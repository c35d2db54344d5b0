package engine

import (
	"errors"
	"fmt"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/engine/fragment"
	"github.com/afxlb/afxlb/engine/persist"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
)

// Shadow is a worker that handles a packet as one of the running ones would in this moment, by the
// same code, and changes nothing that anybody else sees: all that it goes by it has copies of.
type Shadow struct {
	engine  *Engine
	devices []closer
	plan    *bpf.Plan
}

type closer interface{ Close() error }

// ErrNoQueue says that no worker has a queue of that number.
var ErrNoQueue = errors.New("no worker has the queue")

// Shadow returns one of the worker of a queue, for this frame: what of the worker's own is about
// another service it does not have. It has one socket for each port, which are the caller's; of
// those that are away it uses none. It waits for the worker's next batch boundary.
func (e *Engine) Shadow(queue int, frame []byte, sockets ...*xsk.Socket) (*Shadow, error) {
	e.changing.Lock()
	defer e.changing.Unlock()
	var live *worker
	for _, w := range e.workers {
		if w.queue == queue {
			live = w
		}
	}
	if live == nil {
		return nil, fmt.Errorf("%w %d", ErrNoQueue, queue)
	}
	t := e.table.Load()
	s := &Shadow{plan: e.plan, engine: &Engine{
		config: e.config, clock: e.clock, fragments: fragment.Over(e.fragments), allowed: e.allowed, plan: new(bpf.Plan),
		joined: make(chan struct{}, 1), past: make([]past, maxPorts), names: e.names,
	}}
	own := s.engine
	own.config.Loads, own.config.MaxFlows, own.config.CPUs = e.config.Loads.Copy(len(t.Backends)), 1, nil
	own.clients = &clients{Table: persist.Over(e.clients.Table), clock: e.clock, tables: &own.table}
	own.flows = conntrack.Over(e.flows, conntrack.Config{Loads: own.config.Loads, Observer: own.clients})
	own.table.Store(t.Copy())
	own.young.Store(e.young.Load())
	own.recruit([]int{queue})
	w := own.workers[0]
	w.witness = &witness{}
	tell([]*worker{live}, e.alarm(), func(live *worker) {
		live.picker.Copy(w.picker, serviceOf(t, frame))
		w.budgets, w.ident, w.youth = live.budgets, live.ident, live.youth
	})
	l := &lease{}
	for i, socket := range sockets {
		if e.lease != nil && i < len(e.lease.ports) && e.lease.ports[i] == nil {
			l.ports = append(l.ports, nil)
			continue
		}
		p := &port{sockets: []*xsk.Socket{socket}}
		if e.lease != nil && i < len(e.lease.ports) && e.lease.ports[i] != nil && e.lease.ports[i].device != nil {
			device, err := e.lease.ports[i].device.Copy()
			if err != nil {
				return nil, errors.Join(err, s.Close())
			}
			p.device, s.devices = device, append(s.devices, device)
		}
		l.ports = append(l.ports, p)
	}
	if err := own.hand(l); err != nil {
		return nil, errors.Join(fmt.Errorf("shadow of queue %d: %w", queue, err), s.Close())
	}
	own.flows.Grace.Quiescent(0)
	return s, nil
}

// serviceOf returns the service that a frame is for; nil: none.
func serviceOf(t *balancer.Table, frame []byte) *balancer.Service {
	var p packet.Packet
	if v := packet.Parse(frame, &p); v != packet.Pending && v != packet.DropFragment {
		return nil
	}
	return t.Lookup(&p.Key)
}

// Handle handles what its sockets have received, one packet, and what that brings about: its
// pieces, if it was cut. It returns what became of the packet; if it was cut, of its first piece.
func (s *Shadow) Handle() (Outcome, error) {
	if _, err := s.engine.Step(0); err != nil {
		return Outcome{}, err
	}
	end := s.engine.Outcome(0, 0)
	for s.engine.Again(0) {
		cut := end.Verdict == packet.Pending // once more, if the next backend's way is narrower
		n, err := s.engine.Step(0)
		if err != nil || n == 0 {
			return end, err
		}
		if cut {
			end = s.engine.Outcome(0, 0)
		}
	}
	return end, nil
}

// Away reports whether the interface with the number is away: nothing comes or leaves by it.
func (s *Shadow) Away(port int) bool { return s.engine.lease.ports[port] == nil }

// Findings returns what was found on the way, in order.
func (s *Shadow) Findings() []Finding { return s.engine.workers[0].witness.findings }

// Table and Plan return what it goes by, and what the kernel steers by.
func (s *Shadow) Table() *balancer.Table { return s.engine.Table() }
func (s *Shadow) Plan() *bpf.Plan        { return s.plan }

// Close gives back what it has of the kernel's.
func (s *Shadow) Close() error {
	var errs []error
	for _, d := range s.devices {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}
