package engine

import (
	"errors"
	"fmt"

	"github.com/afxlb/afxlb/xsk"
)

// NewOffline returns an engine whose worker i serves sockets[i], and no interface:
// what is behind the sockets is the caller's, such as package xsktest's kernel or a
// file of packets. No thread is started and none is pinned; the caller drives each
// worker by [Engine.Step], and time by calling [Engine.Expire]. Acquire, Release and Run
// are not for such an engine, Apply ignores the plan, which may be nil, and the sockets
// stay the caller's to close.
//
// Of the config only MaxFlows, Timeouts and Loads count.
func NewOffline(c Config, sockets []*xsk.Socket) (*Engine, error) {
	if len(sockets) == 0 {
		return nil, errors.New("offline engine: no sockets")
	}
	c.Interfaces, c.Queues, c.CPUs = []string{"offline"}, make([]int, len(sockets)), nil
	for i := range c.Queues {
		c.Queues[i] = i
	}
	e, err := New(c)
	if err != nil {
		return nil, fmt.Errorf("offline engine: %w", err)
	}
	e.young.Store(false) // there was no process before
	if err := e.hand(leaseOf(sockets)); err != nil {
		return nil, fmt.Errorf("offline engine: %w", err)
	}
	for i := range e.workers {
		e.flows.Grace.Quiescent(i) // online from here on
	}
	return e, nil
}

// leaseOf returns one of a single port that has no program.
func leaseOf(sockets []*xsk.Socket) *lease {
	return &lease{ports: []*port{{sockets: sockets}}}
}

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

// Expire removes flows that were idle for too long, a bounded number a call. Run does
// so by itself, ten times a second.
func (e *Engine) Expire() { e.flows.Expire(e.clock.Now(), expireLimit) }
