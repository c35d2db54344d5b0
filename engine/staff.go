package engine

import (
	"cmp"
	"math/bits"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
)

// Workers come when the interface gets queues, and none ever goes: one whose queue is
// not there any more rests, and still counts for what it has done.

// recruit sees to it that there is a worker for each of the queues, worker i for the
// i-th. Those that were there before keep what they have, their CPUs included.
func (e *Engine) recruit(queues []int) {
	have := len(e.workers)
	if have >= len(queues) {
		return
	}
	workers := append(make([]*worker, 0, len(queues)), e.workers...)
	e.flows.Grace.Admit(len(queues))
	for i := have; i < len(queues); i++ {
		workers = append(workers, e.newWorker(i, queues))
	}
	e.mu.Lock()
	e.workers = workers
	e.mu.Unlock()
}

func (e *Engine) newWorker(id int, queues []int) *worker {
	w := &worker{
		id: id, queue: queues[id], cpu: e.cpu(id, len(queues)), busy: e.config.Busy, sleep: cmp.Or(e.config.sleep, sleepTime),
		tables: &e.table, flows: e.flows, clients: e.clients, clock: e.clock, young: &e.young,
		fragments: e.fragments,
		cache:     conntrack.NewCache(2 * e.config.MaxFlows / len(queues)),
		picker:    balancer.NewPicker(id, e.config.Loads),
		arms:      &arms{},
		device:    &nowhere,
		several:   e.several(),
		budgets:   newBudgets(),
		ident:     bits.Reverse16(uint16(id)), // those of two workers are as far apart as can be
	}
	for _, t := range e.taps {
		w.taps = append(w.taps, t.lane(id))
	}
	return w
}

// cpu returns where worker id of n runs; -1: anywhere. It is what [placement] says, but
// that workers beyond the CPUs that were named have none of their own, since nobody could
// know that they would come.
func (e *Engine) cpu(id, n int) int {
	switch want := e.config.CPUs; {
	case id < len(want):
		return want[id]
	case len(want) > 0 || n > len(e.allowed):
		return -1
	default:
		return e.allowed[len(e.allowed)-1-id]
	}
}

func cpusOf(workers []*worker) []int {
	cpus := make([]int, len(workers))
	for i, w := range workers {
		cpus[i] = w.cpu
	}
	return cpus
}

// all returns all workers.
func (e *Engine) all() []*worker {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.workers
}

// serving returns the workers that have a queue now.
func (e *Engine) serving() []*worker {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if e.lease == nil {
		return nil
	}
	return e.workers[:e.lease.workers()]
}

// resting returns the workers that have none.
func (e *Engine) resting() []*worker { return e.all()[len(e.serving()):] }

// CPUs returns on how many CPUs workers may run.
func (e *Engine) CPUs() int {
	if n := len(e.config.CPUs); n > 0 {
		return n
	}
	return len(e.allowed)
}
