package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/engine/persist"
	"github.com/afxlb/afxlb/xsk"
)

// Info is the engine at one moment, for people and metrics.
type Info struct {
	Table    *balancer.Table
	Attached bpf.AttachMode // empty: not attached now
	Steering bpf.Counters
	Punt     PuntInfo
	Workers  []WorkerInfo // of the queues that are served, or were last
	Total    Counters     // of all workers that there ever were, without the backends
	Flows    conntrack.Stats
	Clients  persist.Stats // of services with persistence
}

// WorkerInfo is one worker.
type WorkerInfo struct {
	Queue, CPU int
	Socket     xsk.Info // zero while there is none
	Kernel     xsk.Statistics
	Counters   Counters    // without the backends
	Frames     xsk.Account // as of the same moment as the counters
}

// PuntInfo is the way back to the kernel.
type PuntInfo struct {
	Device    string   // the interface's name; empty: there is none
	Obstacles []string // what stands against it
}

// Info gathers the figures. What the kernel refuses to tell stays zero: that is
// so while an interface is away. Anybody may call it; it does not wait for an Apply,
// Acquire, Suspend or Release that is under way.
func (e *Engine) Info() Info {
	in := Info{Table: e.table.Load(), Flows: e.flows.Stats(), Clients: e.clients.Stats()}
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
	} else {
		in.Workers = in.Workers[:len(l.sockets)]
		l.tell(&in)
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

// tell writes what the kernel knows into in.
func (l *lease) tell(in *Info) {
	in.Attached = l.attached
	if l.program != nil {
		in.Steering, _ = l.program.Counters()
	}
	if l.device != nil {
		in.Punt = PuntInfo{Device: l.device.Name(), Obstacles: l.device.Obstacles()}
	}
	for i, s := range l.sockets {
		in.Workers[i].Socket = s.Info()
		in.Workers[i].Kernel, _ = s.Statistics()
	}
}

// EachFlow calls visit with a copy of each flow until it returns false.
func (e *Engine) EachFlow(visit func(conntrack.Info) bool) { e.flows.Range(e.clock.Now(), visit) }
