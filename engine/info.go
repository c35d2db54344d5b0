package engine

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/engine/persist"
	"github.com/afxlb/afxlb/engine/snat"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
)

// Info is the engine at one moment, for people and metrics.
type Info struct {
	Table   *balancer.Table
	Ports   []PortInfo
	Workers []WorkerInfo // of the queues that are served, or were last
	Total   Counters     // of all workers that there ever were, without the backends
	Flows   conntrack.Stats
	Clients persist.Stats // of services with persistence
	Sources []snat.Info   // how many ports full NAT has in use
}

// PortInfo is one served interface.
type PortInfo struct {
	Name     string
	Index    int            // of the interface; 0: it is away
	Attached bpf.AttachMode // empty: not attached now
	Steering bpf.Counters   // since the engine was made, as is Before
	Before   xsk.Statistics // of sockets that it had and has not any more
	Punt     PuntInfo
	Apart    string       // why packets that cross to it are copied; empty: they are not
	Sockets  []SocketInfo // by worker, as far as it has some; those that only send included
}

// Kernel returns what the kernel counted of all sockets that a port has and had.
func (p *PortInfo) Kernel() xsk.Statistics {
	sum := p.Before
	for i := range p.Sockets {
		sum.Add(&p.Sockets[i].Kernel)
	}
	return sum
}

// SocketInfo is one socket: the zero value is none.
type SocketInfo struct {
	xsk.Info
	Kernel xsk.Statistics
}

// Queues returns the queues that a port's sockets receive from.
func (p *PortInfo) Queues() (queues []int) {
	for _, s := range p.Sockets {
		if s.Receives() {
			queues = append(queues, s.Queue)
		}
	}
	return queues
}

// Receives reports whether it is one that receives.
func (s *SocketInfo) Receives() bool { return s.Interface != "" && s.Queue != xsk.NoQueue }

// WorkerInfo is one worker.
type WorkerInfo struct {
	Queue, CPU int
	Counters   Counters    // without the backends
	Frames     xsk.Account // as of the same moment as the counters
}

// Sockets returns those of a worker that receive, of all ports.
func (in *Info) Sockets(worker int) (list []SocketInfo) {
	for i := range in.Ports {
		if p := &in.Ports[i]; worker < len(p.Sockets) && p.Sockets[worker].Receives() {
			list = append(list, p.Sockets[worker])
		}
	}
	return list
}

// PuntInfo is the way back to the kernel.
type PuntInfo struct {
	Device    string   // the interface's name; empty: there is none
	Obstacles []string // what stands against it
}

// Info gathers the figures. What the kernel refuses to tell stays zero: that is
// so while an interface is away. Anybody may call it; it does not wait for an Apply,
// Acquire, Take, Anew or Release that is under way.
func (e *Engine) Info() Info {
	in := Info{Table: e.table.Load(), Flows: e.flows.Stats(), Clients: e.clients.Stats(), Sources: e.flows.Ports.Info()}
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, w := range e.workers {
		in.Workers = append(in.Workers, WorkerInfo{Queue: w.queue, CPU: w.cpu})
		w.tell(&in.Workers[w.id], &in.Total)
	}
	if l := e.lease; l == nil {
		for i := range in.Workers {
			in.Workers[i].Frames = xsk.Account{} // of a socket that is given or taken just now
		}
	} else if n := l.workers(); n > 0 { // else they are about to get others
		in.Workers = in.Workers[:n]
	}
	for i, name := range e.names {
		in.Ports = append(in.Ports, PortInfo{Name: name, Before: e.past[i].sockets})
		e.lease.tell(i, &in.Ports[i])
		in.Ports[i].Steering.Add(&e.past[i].steering)
	}
	return in
}

// Total returns what the workers have counted, as [Info] has it, and asks the kernel for
// nothing.
func (e *Engine) Total() (sum Counters) {
	for _, w := range e.all() {
		w.tell(&WorkerInfo{}, &sum)
	}
	return sum
}

// Traffic returns the counters of backends over all workers, in the order of their IDs.
func (e *Engine) Traffic(ids []uint32) []BackendCounters {
	sums := make([]BackendCounters, len(ids))
	for _, w := range e.all() {
		w.traffic(ids, sums)
	}
	return sums
}

// tell writes what the kernel knows of a port into in. There need not be a lease.
func (l *lease) tell(number int, in *PortInfo) {
	if l == nil {
		return
	}
	if len(l.programs) > 0 {
		in.Steering, _ = l.programs[number].Counters()
	}
	p := l.ports[number]
	if p == nil {
		return
	}
	in.Index, in.Attached = p.ifindex, p.attached
	if l.copies(number) {
		in.Apart = p.apart
	}
	if p.device != nil {
		in.Punt = PuntInfo{Device: p.device.Name(), Obstacles: p.device.Obstacles()}
	}
	in.Sockets = make([]SocketInfo, len(p.sockets))
	for i, s := range p.sockets {
		if s != nil {
			in.Sockets[i].Info = s.Info()
			in.Sockets[i].Kernel, _ = s.Statistics()
		}
	}
}

// Sources returns how many ports full NAT has in use, as [Info] has it.
func (e *Engine) Sources() []snat.Info { return e.flows.Ports.Info() }

// SpeaksFrom reports whether some flow has this source, of full NAT. Anybody may call it.
func (e *Engine) SpeaksFrom(a netip.Addr) bool {
	source := packet.AddrFrom(a)
	return slices.ContainsFunc(e.flows.Ports.Info(), func(p snat.Info) bool { return p.Source == source && p.Lent > 0 })
}

// EachFlow calls visit with a copy of each flow until it returns false.
func (e *Engine) EachFlow(visit func(conntrack.Info) bool) {
	backends := e.table.Load().Backends
	e.flows.Range(e.clock.Now(), func(in conntrack.Info) bool {
		if in.Masked() && int(in.BackendID) < len(backends) {
			b := &backends[in.BackendID]
			in.Backend, in.BackendPort = b.Address, cmp.Or(b.Port, in.Key.DstPort)
		}
		return visit(in)
	})
}
