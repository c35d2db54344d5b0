package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/xsk"
)

// Info is the engine at one moment, for people and metrics.
type Info struct {
	Table    *balancer.Table
	Attached bpf.AttachMode // empty: not attached now
	Steering bpf.Counters
	Workers  []WorkerInfo
	Total    Counters // of all workers
	Flows    conntrack.Stats
}

// WorkerInfo is one worker.
type WorkerInfo struct {
	Queue, CPU int
	Socket     xsk.Info // zero while closed
	Kernel     xsk.Statistics
	Counters   Counters // without the backends
}

// Info gathers the figures. What the kernel refuses to tell stays zero: that is
// so while an interface is away.
func (e *Engine) Info() Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	in := Info{Table: e.table.Load(), Attached: e.attached, Flows: e.flows.Stats()}
	if e.program != nil {
		in.Steering, _ = e.program.Counters()
	}
	for _, w := range e.workers {
		wi := WorkerInfo{Queue: w.queue, CPU: w.cpu, Counters: w.counters(&in.Total)}
		if w.socket != nil {
			wi.Socket = w.socket.Info()
			wi.Kernel, _ = w.socket.Statistics()
		}
		in.Workers = append(in.Workers, wi)
	}
	return in
}

// EachFlow calls visit with a copy of each flow until it returns false.
func (e *Engine) EachFlow(visit func(conntrack.Info) bool) { e.flows.Range(e.clock.Now(), visit) }
