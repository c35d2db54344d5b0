package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
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
// outlive the sockets: after an interface went away and came back, [Engine.Open]
// and [Engine.Run] go on with them.
type Engine struct {
	// Immutable.

	config  Config
	clock   Clock
	flows   *conntrack.Table
	workers []*worker
	table   atomic.Pointer[balancer.Table]

	mu       sync.Mutex // the rest; never held while a worker works
	program  *bpf.Program
	attached bpf.AttachMode
	steering bpf.Steering
}

// New returns an engine that has not touched the kernel yet. It steers nothing
// until the first [Engine.Apply].
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
		cache:  conntrack.NewCache(2 * e.config.MaxFlows / len(e.config.Queues)),
		picker: balancer.NewPicker(id, e.config.Loads),
	}
}

// Apply makes t the table of every worker from its next batch on, and steering
// the kernel's part of it.
func (e *Engine) Apply(t *balancer.Table, steering bpf.Steering) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.table.Store(t) // before the kernel steers what only t knows
	e.steering = steering
	if e.program == nil {
		return nil
	}
	if err := e.program.Apply(steering); err != nil {
		return fmt.Errorf("steer generation %d: %w", t.Generation, err)
	}
	return nil
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

// Open attaches the steering program and opens a socket per queue, in the
// network namespace of the calling thread. On an error nothing is left behind.
// The program goes first: if another instance serves the interface, the kernel
// refuses here, before anything of the other's was touched.
func (e *Engine) Open(ifindex int) (err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if err := xsk.Probe(); err != nil {
		return err
	}
	if e.program, err = bpf.Load(bpf.Config{}); err != nil {
		return err
	}
	if err := e.program.Apply(e.steering); err != nil {
		return err
	}
	if e.attached, err = e.program.Attach(ifindex, attachModes(e.config.Mode)...); err != nil {
		return err
	}
	for _, w := range e.workers {
		w.socket, err = xsk.Open(xsk.Config{Interface: e.config.Interface, Queue: w.queue, Driver: e.config.Driver, Mode: e.config.Mode})
		if err != nil {
			return err
		}
		if err := e.program.SetSocket(w.queue, w.socket.FD()); err != nil {
			return fmt.Errorf("steer queue %d of %s: %w", w.queue, e.config.Interface, err)
		}
	}
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

// Close detaches the program and closes the sockets. No worker may run.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.close()
}

func (e *Engine) close() error {
	var errs []error
	if e.program != nil {
		errs = append(errs, e.program.Close())
		e.program, e.attached = nil, ""
	}
	for _, w := range e.workers {
		if w.socket != nil {
			errs = append(errs, w.socket.Close())
			w.socket = nil
		}
	}
	return errors.Join(errs...)
}
