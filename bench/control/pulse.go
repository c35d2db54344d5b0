package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/ends"
	"github.com/afxlb/afxlb/bench/result"
	"github.com/afxlb/afxlb/internal/lab"
)

// Who answers echo requests: the daemon's worker, for a service's address, and the
// kernel of the same host, for its own address, over the same wire at the same time.
// What is added to the kernel's times is the worker's.
const byWorker, byKernel = "worker", "kernel"

// echoRate is below what a worker answers at most on its own, a thousand a second.
const echoRate = 800

// times is what answers took, in nanoseconds.
type times struct {
	worker, kernel *hdrhistogram.Histogram
	lost           int // the worker's

	waited time.Duration // by the worker, for others on its CPU to make room,
	runs   uint64        // and how often it got that
}

func newTimes() *times { return &times{worker: histogram(), kernel: histogram()} }

// merge adds times of others.
func (t *times) merge(o *times) {
	t.worker.Merge(o.worker)
	t.kernel.Merge(o.kernel)
	t.lost += o.lost
	t.waited += o.waited
	t.runs += o.runs
}

// pulse is echo requests from a client for as long as it is not stopped.
type pulse struct {
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // after ended

	mu   sync.Mutex
	into *times        // nil: nobody wants to know
	next chan struct{} // closed at the next sample
}

// newPulse starts it. The caller stops it.
func (s *stage) newPulse(ctx context.Context) (*pulse, error) {
	ctx, cancel := context.WithCancel(ctx)
	p := &pulse{cancel: cancel, ended: make(chan struct{}), next: make(chan struct{})}
	task := Echo{To: map[string]netip.Addr{byWorker: vip, byKernel: lab.BalancerAddr()}, Rate: echoRate, CPUs: s.place.rest}
	go func() {
		defer close(p.ended)
		var wrong error
		p.err = s.lab.Clients[0].Do(func() error {
			return child.Run(ctx, EchoTask, task, func(string) {}, func(s result.Sample) {
				if err := p.file(s); err != nil {
					wrong = err
					cancel()
				}
			})
		})
		if wrong != nil {
			p.err = wrong
		}
	}()
	if err := p.boundary(ctx); err != nil { // caches and neighbours are known then
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

// file takes a sample.
func (p *pulse) file(s result.Sample) error {
	var got times
	for name, h := range map[string]**hdrhistogram.Histogram{byWorker: &got.worker, byKernel: &got.kernel} {
		var err error
		if *h, err = hdrhistogram.Decode([]byte(s.Labels[name])); err != nil {
			return fmt.Errorf("read histogram: %w", err)
		}
	}
	got.lost = int(ends.Value(s, byWorker))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.into != nil {
		p.into.merge(&got)
	}
	close(p.next)
	p.next = make(chan struct{})
	return nil
}

// record gathers what answers take while f runs. It begins and ends with a sample: what
// f does first, and last, is in it.
func (p *pulse) record(ctx context.Context, into *times, f func() error) error {
	if err := p.boundary(ctx); err != nil {
		return err
	}
	p.gather(into)
	defer p.gather(nil)
	if err := f(); err != nil {
		return err
	}
	return p.boundary(ctx)
}

func (p *pulse) gather(into *times) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.into = into
}

// boundary waits for the next sample.
func (p *pulse) boundary(ctx context.Context) error {
	p.mu.Lock()
	next := p.next
	p.mu.Unlock()
	select {
	case <-next:
		return nil
	case <-p.ended:
		return fmt.Errorf("echo requests ended: %w", p.err)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop ends it. One that has ended before is an error.
func (p *pulse) stop() error {
	p.cancel()
	<-p.ended
	if errors.Is(p.err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("echo requests: %w", p.err)
}
