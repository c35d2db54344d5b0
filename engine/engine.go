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
	"github.com/afxlb/afxlb/engine/fragment"
	"github.com/afxlb/afxlb/engine/persist"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/punt"
	"github.com/afxlb/afxlb/xsk"
)

// Config says what an engine serves and with what.
type Config struct {
	// Interfaces are those that are served, at most [balancer.MaxPorts]; their numbers are
	// their places here. An empty name is a place that nobody has.
	Interfaces []string
	// Grows: there may be more of them later, which [Engine.Name] tells of.
	Grows     bool
	Queues    []int // RX queues of each, one worker for those of one number; empty: all that there are, at any time
	CPUs      []int // worker i runs on CPUs[i]; empty: chosen here
	Driver    xsk.Driver
	Mode      xsk.Mode
	FrameSize uint32 // as [xsk.Config] has it
	Busy      bool   // never sleep
	MaxFlows  int
	Timeouts  conntrack.Timeouts
	Loads     *balancer.Loads
	Clock     Clock        // the zero value: one that starts now
	Device    *punt.Device // of an offline engine, the way back to the kernel; nil: none

	seed  uint64        // of the flow table
	sleep time.Duration // of a worker, at most; 0: sleepTime
}

// Engine is the workers and what they share. Flows, counters and the table
// outlive the sockets: after an interface went away and came back, [Engine.Acquire]
// and [Engine.Run] go on with them.
type Engine struct {
	// Immutable.

	config    Config
	clock     Clock
	flows     *conntrack.Table
	clients   *clients
	fragments *fragment.Table
	allowed   []int // CPUs that the process had before its workers took theirs
	table     atomic.Pointer[balancer.Table]
	made      time.Time
	young     atomic.Bool   // see youth
	succeeded atomic.Int64  // how long after made, in nanoseconds, Succeed was called last; 0: never
	joined    chan struct{} // holds a token when there are workers for Run to start

	changing sync.Mutex // held by Apply and all that changes the lease, for as long as the kernel takes
	plan     *bpf.Plan  // what the kernel steers by, or will
	taps     []*Tap     // the captures that are under way

	// All are written with both locks held.
	mu      sync.RWMutex // held for moments, so that Info waits for nothing that takes long
	workers []*worker    // of all queues that were ever served; those of today are the first
	lease   *lease       // nil: none
	past    []past       // by port
	names   []string     // of the interfaces; never changed once set
}

// New returns an engine that has not touched the kernel yet. It steers nothing
// until the first [Engine.Apply]. The error is [ErrPlacement] if the workers can't
// have the CPUs that the config names.
func New(c Config) (*Engine, error) {
	if _, err := Placement(len(c.Queues), c.CPUs); err != nil && len(c.Queues) > 0 {
		return nil, err
	}
	allowed, err := allowedCPUs()
	if err != nil {
		return nil, err
	}
	if c.Clock == (Clock{}) {
		c.Clock = NewClock()
	}
	e := &Engine{
		config:    c,
		made:      time.Now(),
		clock:     c.Clock,
		fragments: fragment.New(c.seed),
		allowed:   allowed,
		joined:    make(chan struct{}, 1),
		plan:      new(bpf.Plan),
		past:      make([]past, maxPorts),
		names:     c.Interfaces,
	}
	e.config.Interfaces = nil // names change
	e.clients = &clients{Table: persist.New(c.MaxFlows/clientShare, c.seed), clock: e.clock, tables: &e.table}
	e.flows = conntrack.New(conntrack.Config{
		MaxFlows: c.MaxFlows, Workers: len(c.Queues), Timeouts: c.Timeouts, Loads: c.Loads, Observer: e.clients, Seed: c.seed,
	})
	e.table.Store(&balancer.Table{})
	e.young.Store(true)
	e.recruit(c.Queues)
	return e, nil
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
	for _, w := range e.resting() { // so that a backend's ID that changes hands counts from zero there too
		w.adoptAtRest(t)
	}
	if e.lease == nil {
		return nil
	}
	for _, program := range e.lease.programs {
		if err := program.Apply(plan); err != nil {
			return fmt.Errorf("generation %d is in force, but of its steering only a part: %w", t.Generation, err)
		}
	}
	return nil
}

// SetTimeouts changes how long flows may be idle, at once and of all flows. Anybody may
// call it at any time.
func (e *Engine) SetTimeouts(t conntrack.Timeouts) { e.flows.SetTimeouts(t) }

// MoveHops changes where the replies of flows go, at once: see [conntrack.Table.MoveHops].
func (e *Engine) MoveHops(to func(client packet.Addr, mac uint64) uint64) int {
	return e.flows.MoveHops(to)
}

// Oldest returns the oldest generation that a worker may still read: the first, as
// long as one of them has read none.
func (e *Engine) Oldest() uint64 {
	oldest := e.table.Load().Generation
	for _, w := range e.serving() {
		oldest = min(oldest, w.generation.Load())
	}
	return max(oldest, 1)
}

const (
	expireEvery = 100 * time.Millisecond
	expireLimit = 32768 // records a tick: 300 k a second, above what a SYN flood can insert and time out
)

// Run works until ctx ends, and then returns nil, or until the interface is gone. Of
// several, one that is gone does not end it.
func (e *Engine) Run(ctx context.Context) error {
	serving := e.serving()
	if err := reserve(cpusOf(serving)); err != nil {
		return err
	}
	var stop atomic.Bool
	alarm := e.alarm()
	halt := func() {
		if !stop.Swap(true) {
			alarm.Raise()
		}
	}
	ended := make(chan error)
	for _, w := range serving {
		go e.work(w, &stop, ended)
	}
	started, running, began := len(serving), len(serving), time.Now()
	tick := time.NewTicker(expireEvery)
	defer tick.Stop()
	var first error
	for running > 0 {
		select {
		case <-ctx.Done():
			halt()
			ctx = context.Background() // said once
		case err := <-ended:
			running--
			halt()
			if first == nil {
				first = err
			}
		case <-e.joined:
			if stop.Load() {
				continue
			}
			serving := e.serving()
			makeRoom(len(serving))
			for started < len(serving) { // some may rest by now, and go on to run
				go e.work(serving[started], &stop, ended)
				started, running = started+1, running+1
			}
		case <-tick.C:
			e.flows.Expire(e.clock.Now(), expireLimit)
			e.mature(time.Since(began))
		}
	}
	if stop.Load() {
		alarm.Lower()
	}
	return first
}

// work is a worker's thread.
func (e *Engine) work(w *worker, stop *atomic.Bool, ended chan<- error) {
	err := pin(w.cpu, e.allowed)
	if err == nil {
		err = w.run(stop)
	}
	if err != nil {
		err = fmt.Errorf("worker of queue %d: %w", w.queue, err)
	}
	ended <- err
}
