package health

import (
	"context"
	"net"
	"net/netip"
	"reflect"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

// Target is one backend to probe.
type Target struct {
	Ref     balancer.BackendRef // no two targets of a set have the same
	Address netip.AddrPort      // where the probe goes; see balancer.ServiceSpec.Probe
	Spec    balancer.HealthSpec
}

// Equal reports whether t and o are probed in the same way. (A slice in the Spec
// keeps == from being defined.)
func (t Target) Equal(o Target) bool { return reflect.DeepEqual(t, o) }

// Result is the answer to one probe.
type Result struct {
	Ref  balancer.BackendRef
	OK   bool
	Err  error         // why not OK; nil if OK
	Took time.Duration // from the start of the connection to the verdict
}

// Dial opens a connection, as [net.Dialer.DialContext] does. It must give up
// when its context ends.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Option changes how a [Prober] works.
type Option func(*Prober)

// WithDial makes the Prober connect by dial, for example in another network
// namespace. Without it, probes come from the process's own.
func WithDial(dial Dial) Option {
	return func(p *Prober) { p.dial = dial }
}

// Prober probes a set of targets. Its methods may be called from any goroutine,
// except from inside of report.
type Prober struct {
	log    *zap.Logger
	report func(Result)
	dial   Dial

	running sync.WaitGroup // one for each target's goroutine

	mu      sync.Mutex
	targets map[balancer.BackendRef]*probing // also stopped ones that have not ended yet
	closed  bool
}

// probing is one target under probe.
type probing struct {
	target  Target
	stop    context.CancelFunc
	stopped bool          // guarded by Prober.mu
	done    chan struct{} // closed when its goroutine has ended
}

func (p *probing) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// New returns a Prober without targets. Results go to report, called at the same
// time for different targets but in order for each; a report that takes long
// delays only its own target's next probe.
func New(log *zap.Logger, report func(Result), options ...Option) *Prober {
	p := &Prober{
		log:     log,
		report:  report,
		dial:    new(net.Dialer).DialContext,
		targets: map[balancer.BackendRef]*probing{},
	}
	for _, o := range options {
		o(p)
	}
	return p
}

// Set makes targets the set that is probed. Those that were in it already,
// unchanged, go on undisturbed; new and changed ones get their first probe soon,
// those that are gone get none any more. Set does not wait for probes that are
// under way: their results are dropped, but a call of report that has begun goes
// on. After Close, Set does nothing.
func (p *Prober) Set(targets []Target) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	next := make(map[balancer.BackendRef]*probing, len(targets))
	var fresh []Target
	for _, t := range targets {
		if old := p.targets[t.Ref]; old != nil && !old.stopped && old.target.Equal(t) {
			next[t.Ref] = old
		} else {
			fresh = append(fresh, t)
		}
	}
	for ref, old := range p.targets {
		if next[ref] == old {
			continue
		}
		old.stop()
		if old.stopped = true; !old.ended() {
			next[ref] = old // whoever comes under this name has to wait for it
		}
	}
	for _, t := range fresh {
		next[t.Ref] = p.start(t, next[t.Ref], spread(len(fresh)))
	}
	p.targets = next
}

// start probes t, for the first time within the given window, and not before a
// predecessor of the same name has ended.
func (p *Prober) start(t Target, predecessor *probing, window time.Duration) *probing {
	ctx, stop := context.WithCancel(context.Background())
	this := &probing{target: t, stop: stop, done: make(chan struct{})}
	p.running.Go(func() {
		defer close(this.done)
		if predecessor != nil {
			<-predecessor.done
		}
		p.run(ctx, t, window)
	})
	return this
}

// Close stops all probes and returns when the last goroutine has ended: no result
// is reported after it.
func (p *Prober) Close() {
	p.mu.Lock()
	p.closed = true
	for _, t := range p.targets {
		t.stop()
	}
	p.mu.Unlock()
	p.running.Wait()
}
