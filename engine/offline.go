package engine

import (
	"errors"
	"fmt"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/xsk"
)

// NewOffline returns an engine whose worker i serves the i-th socket of each port, and no
// interface: what is behind the sockets is the caller's, such as package xsktest's kernel or
// a file of packets. A worker's sockets share one UMEM. No thread is started and none is
// pinned; the caller drives each worker by [Engine.Step], and time by calling
// [Engine.Expire]. Acquire, Release and Run are not for such an engine, Apply ignores the
// plan, which may be nil, and the sockets stay the caller's to close.
//
// Of the config only MaxFlows, Timeouts, Loads, Clock and Device count. With a manual clock,
// the same steps have the same outcome each time.
func NewOffline(c Config, ports ...[]*xsk.Socket) (*Engine, error) {
	l := &lease{}
	c.Interfaces, c.CPUs, c.seed = nil, nil, OfflineSeed
	for i, sockets := range ports {
		l.ports = append(l.ports, &port{sockets: sockets, device: c.Device})
		c.Interfaces = append(c.Interfaces, fmt.Sprintf("offline%d", i))
	}
	c.Queues = make([]int, l.workers())
	if len(c.Queues) == 0 {
		return nil, errors.New("offline engine: no sockets")
	}
	for i := range c.Queues {
		c.Queues[i] = i
	}
	e, err := New(c)
	if err != nil {
		return nil, fmt.Errorf("offline engine: %w", err)
	}
	e.young.Store(false) // there was no process before
	if err := e.hand(l); err != nil {
		return nil, fmt.Errorf("offline engine: %w", err)
	}
	for i := range e.workers {
		e.flows.Grace.Quiescent(i) // online from here on
	}
	return e, nil
}

// OfflineSeed is what an offline engine's hashes begin with. It has no meaning; but which
// flow has to go when the table is full depends on it, and what differs by flow in tunnels.
const OfflineSeed = 0x6f66666c696e65

// Step has one worker handle at most one batch of what its socket has received, on
// the calling goroutine, and returns the batch's size. It is the pass of a running
// worker, which neither waits nor allocates. Several workers may step at a time, each
// on one goroutine; all of them must step now and then, since a removed flow's record
// is used again only when each has passed a batch boundary.
//
// A worker without packets takes the newest table and publishes its counters for
// [Engine.Info].
func (e *Engine) Step(worker int) (int, error) {
	w := e.workers[worker]
	n, err := w.pass()
	if n > 0 {
		w.count.Batches++
		if w.now-w.published.at >= publishInterval {
			w.expire()
			w.publish()
		}
		return n, err
	}
	w.renew()
	w.expire()
	if w.published.copied != w.count.Received {
		w.publish()
	}
	w.flows.Grace.Quiescent(w.id)
	return 0, err
}

// Again reports whether the worker has packets that it will receive once more, in its next
// Step: those that had to wait for another one, which has gone by, and the pieces of one that
// was too large for its way.
func (e *Engine) Again(worker int) bool { return e.workers[worker].parts.Ready.Len() != 0 }

// Held returns how many fragments wait for the first one of their packet.
func (e *Engine) Held() int { return e.fragments.Held() }

// Expire removes flows that were idle for too long, a bounded number a call, and returns
// how many. Run does so by itself, ten times a second.
func (e *Engine) Expire() int { return e.flows.Expire(e.clock.Now(), expireLimit) }

// Outcome returns what became of the i-th packet of the batch that the worker had last:
// before its next Step, and of an engine that nobody else drives.
func (e *Engine) Outcome(worker, i int) Outcome { return e.workers[worker].outcome(i) }

// Table returns what is in force: the workers have it from their next batch on.
func (e *Engine) Table() *balancer.Table { return e.table.Load() }
