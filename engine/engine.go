package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
)

// Config says what an engine serves and with what.
type Config struct {
	Interface string
	Queues    []int // RX queues, one worker each; at least one
	CPUs      []int // worker i runs on CPUs[i]; empty: chosen here
	Driver    xsk.Driver
	Mode      xsk.Mode
	Busy      bool // never sleep
	MaxFlows  int
	Timeouts  conntrack.Timeouts
	Loads     *balancer.Loads
}

// Engine is the workers and what they share. Flows, counters and the table
// outlive the sockets: after an interface went away and came back, [Engine.Acquire]
// and [Engine.Run] go on with them.
type Engine struct {
	// Immutable.

	config  Config
	clock   Clock
	flows   *conntrack.Table
	workers []*worker
	table   atomic.Pointer[balancer.Table]

	changing sync.Mutex // held by Apply, Acquire and Release, for as long as the kernel takes
	plan     *bpf.Plan  // what the kernel steers by, or will

	mu    sync.RWMutex // held for moments, so that Info waits for nothing that takes long
	lease *lease       // written with both held; nil: none
}

// New returns an engine that has not touched the kernel yet. It steers nothing
// until the first [Engine.Apply]. The error is [ErrPlacement] if the workers can't
// have the CPUs that the config names.
func New(c Config) (*Engine, error) {
	if len(c.Queues) == 0 {
		return nil, fmt.Errorf("serve %s: no queues are given", c.Interface)
	}
	cpus, err := placement(len(c.Queues), c.CPUs)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		config: c,
		clock:  NewClock(),
		flows:  conntrack.New(conntrack.Config{MaxFlows: c.MaxFlows, Workers: len(c.Queues), Timeouts: c.Timeouts, Loads: c.Loads}),
		plan:   new(bpf.Plan),
	}
	e.table.Store(&balancer.Table{})
	for i, q := range c.Queues {
		e.workers = append(e.workers, newWorker(e, i, q, cpus[i]))
	}
	return e, nil
}

func newWorker(e *Engine, id, queue, cpu int) *worker {
	return &worker{
		id: id, queue: queue, cpu: cpu, busy: e.config.Busy,
		tables: &e.table, flows: e.flows, clock: e.clock,
		cache:   conntrack.NewCache(2 * e.config.MaxFlows / len(e.config.Queues)),
		picker:  balancer.NewPicker(id, e.config.Loads),
		budgets: newBudgets(),
	}
}

// Apply makes t the table of every worker from its next batch on, and plan, made with
// [bpf.DefaultLimits], the kernel's part of it. One goroutine calls it.
//
// An error is the kernel's. The workers have t all the same, and of the steering it has
// parts of the old and of the new: apply something again.
func (e *Engine) Apply(t *balancer.Table, plan *bpf.Plan) error {
	e.changing.Lock()
	defer e.changing.Unlock()
	e.table.Store(t) // before the kernel steers what only t knows
	e.plan = plan
	if e.lease == nil || e.lease.program == nil {
		return nil
	}
	if err := e.lease.program.Apply(plan); err != nil {
		return fmt.Errorf("generation %d is in force, but of its steering only a part: %w", t.Generation, err)
	}
	return nil
}

// SetTimeouts changes how long flows may be idle, at once and of all flows. Anybody may
// call it at any time.
func (e *Engine) SetTimeouts(t conntrack.Timeouts) { e.flows.SetTimeouts(t) }

// MoveMACs changes where the replies of flows go, at once: see [conntrack.Table.MoveMACs].
func (e *Engine) MoveMACs(to func(client packet.Addr, mac uint64) uint64) int {
	return e.flows.MoveMACs(to)
}

// Oldest returns the oldest generation that a worker may still read: the first, as
// long as one of them has read none.
func (e *Engine) Oldest() uint64 {
	oldest := e.workers[0].generation.Load()
	for _, w := range e.workers[1:] {
		oldest = min(oldest, w.generation.Load())
	}
	return max(oldest, 1)
}

const (
	expireEvery = 100 * time.Millisecond
	expireLimit = 32768 // records a tick: 300 k a second, above what a SYN flood can insert and time out
)

// Run works until ctx ends, and then returns nil, or until the interface is gone.
func (e *Engine) Run(ctx context.Context) error {
	cpus := make([]int, len(e.workers))
	for i, w := range e.workers {
		cpus[i] = w.cpu
	}
	if err := reserve(cpus); err != nil {
		return err
	}
	var stop atomic.Bool
	ended := make(chan error, len(e.workers))
	for _, w := range e.workers {
		go func() {
			err := pin(w.cpu)
			if err == nil {
				err = w.run(&stop)
			}
			if err != nil {
				err = fmt.Errorf("worker of queue %d: %w", w.queue, err)
			}
			ended <- err
		}()
	}
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	var first error
	for running := len(e.workers); running > 0; {
		select {
		case <-ctx.Done():
			stop.Store(true)
			ctx = context.Background() // said once
		case err := <-ended:
			running--
			stop.Store(true)
			if first == nil {
				first = err
			}
		case <-tick.C:
			e.flows.Expire(e.clock.Now(), expireLimit)
		}
	}
	return first
}
