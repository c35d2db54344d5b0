package control

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/health"
	"github.com/afxlb/afxlb/internal/packet"
)

// Engine is what tables are made for; [engine.Engine] is one.
type Engine interface {
	Apply(*balancer.Table, *bpf.Plan) error
	Oldest() uint64
	MoveHops(to func(client packet.Addr, mac uint64) uint64) int
	SpeaksFrom(netip.Addr) bool // some flow has this source
	Succeed()                   // another machine's connections may come now
}

// Hops tells of ports, of next hops by them and of neighbours; [egress.Watcher] does.
type Hops interface {
	Snapshot() egress.Snapshot
	Set([]netip.Addr)
	Moves() []egress.Move
	Remember(map[egress.Neighbour]egress.Place)
}

// Options say what to control.
type Options struct {
	Engine Engine
	Loads  *balancer.Loads // the engine's
	Spec   balancer.Spec   // valid; see [Check]
	// Overrides are those that hold under Spec from before; see [Restore].
	Overrides Overrides
	Log       *zap.Logger
	Events    *events.Recorder
	Health    []health.Option      // of the prober
	Probed    func(*health.Result) // hears of each answer to a probe, from any goroutine; or nil
	Published func()               // hears of each View, from one goroutine, which it must not hold up; or nil
}

// Reconciler keeps the engine's table what it should be. Its exported methods may be
// called by anyone, all but Run and View only while Run runs.
type Reconciler struct {
	// Immutable.

	engine   Engine
	loads    *balancer.Loads
	log      *zap.Logger
	events   *events.Recorder
	prober   *health.Prober
	follower *follower
	told     func()        // Options.Published
	notified chan struct{} // holds a token when something has changed
	tasks    chan task
	ended    chan struct{} // closed when Run ends

	view atomic.Pointer[View]

	mu       sync.Mutex // never held for longer than one look at all backends
	observed observed

	// The reconciling goroutine's own.

	spec     *balancer.Spec // desired
	probing  bool
	compiler *balancer.Compiler
	inForce  commitment
	sources  []bpf.Source // in force, and former ones
	easing   *easing
	retries  int           // commits that went wrong in a row
	scratch  []BackendView // of one service, for comparison
	alarm    *time.Timer
	waiting  []chan struct{} // see Settled
	calm     time.Time       // when it was seen last that no client was refused or ignored
}

// task is something that the reconciling goroutine is asked to do.
type task struct {
	do   func() error
	done chan error
}

// New returns a reconciler that has not done anything yet.
func New(o Options) *Reconciler {
	r := &Reconciler{
		engine: o.Engine, loads: o.Loads, log: o.Log, events: o.Events, told: o.Published,
		notified: make(chan struct{}, 1), tasks: make(chan task), ended: make(chan struct{}),
		spec: &o.Spec, compiler: balancer.NewCompiler(o.Loads), easing: newEasing(o.Loads),
	}
	r.inForce.spec = r.spec // until there is a table
	now := time.Now()
	r.observed = observed{link: link{since: now}, overrides: o.Overrides}
	r.observed.install(r.spec, r.observed.regroup(r.spec, o.Overrides, now))
	r.prober = health.New(o.Log.Named("health"), func(result health.Result) {
		if o.Probed != nil {
			o.Probed(&result)
		}
		r.observe(result)
	}, append([]health.Option{health.WithLink(served{r}), health.WithPace(r.pace)}, o.Health...)...)
	r.follower = newFollower(o.Engine, r.compiler.Links(), o.Log)
	r.view.Store(r.first(now))
	return r
}

// Run reconciles until ctx ends, and leaves nothing behind. It is called once.
func (r *Reconciler) Run(ctx context.Context) {
	defer close(r.ended)
	r.alarm = time.NewTimer(time.Hour)
	defer r.alarm.Stop()
	defer r.easing.timer.Stop()
	defer r.prober.Close()
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { r.follower.run(ctx) })
	traffic := time.NewTicker(trafficEvery)
	defer traffic.Stop()
	var due <-chan time.Time // nil: nothing has changed
	var rested time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case t := <-r.tasks:
			t.done <- t.do()
		case <-r.notified:
			if due == nil {
				due = time.After(max(burst, time.Until(rested)))
			}
		case <-due:
			due = nil
			start := time.Now()
			_ = r.reconcile() // it tells by the View, and comes back
			rested = time.Now().Add(min(restFactor*time.Since(start), maxRest))
		case <-r.alarm.C:
			r.Notify()
		case now := <-traffic.C:
			r.watchTraffic(now)
		case now := <-r.easing.timer.C:
			r.easing.step(now)
		}
	}
}

const (
	// burst lets what happens at one moment make one table, not one each: an address
	// that dies takes the backends of many services with it.
	burst = 5 * time.Millisecond
	// What happens without end, as when somebody on the link has a router move to and fro,
	// takes a fifth of a core: with thousands of backends a table takes long. But nothing
	// waits for longer than maxRest.
	restFactor, maxRest = 4, 250 * time.Millisecond
)

// Notify says that something has changed. It never blocks.
func (r *Reconciler) Notify() {
	select {
	case r.notified <- struct{}{}:
	default: // said already
	}
}

// requeue has everything looked at again after a while.
func (r *Reconciler) requeue(wait time.Duration) {
	if wait > 0 {
		r.alarm.Reset(wait)
	} else {
		r.alarm.Stop()
	}
}

// ErrStopped is the answer of a reconciler that has ended.
var ErrStopped = errors.New("the balancer is stopping")

// ask has the reconciling goroutine do something and returns its error.
func (r *Reconciler) ask(ctx context.Context, do func() error) error {
	t := task{do, make(chan error, 1)}
	select {
	case r.tasks <- t:
	case <-ctx.Done():
		return ctx.Err()
	case <-r.ended:
		return ErrStopped
	}
	return <-t.done
}

// Reload makes spec the desired state, and returns what that has changed when it is in
// force. What spec refers to must not change from then on. Overrides of what the file has
// changed end. On an error everything is as it was, unless it is [ErrCommit].
func (r *Reconciler) Reload(ctx context.Context, spec balancer.Spec) (d *Difference, err error) {
	err = r.ask(ctx, func() error {
		kept, ended := r.observed.overrides.under(&spec, r.spec) // only this goroutine writes them
		if d, err = r.adopt(&spec, kept); d != nil {
			d.Ended = ended
			for i := range ended {
				r.events.Record(ended[i].Event())
			}
		}
		return err
	})
	return d, err
}

// Preview returns what a Reload would change now, or why it would be refused. It changes
// nothing.
func (r *Reconciler) Preview(ctx context.Context, spec balancer.Spec) (d *Difference, err error) {
	err = r.ask(ctx, func() error {
		kept, ended := r.observed.overrides.under(&spec, r.spec)
		draft, err := r.propose(&spec, kept, time.Now())
		if err == nil {
			d = r.difference(draft, kept)
			d.Ended = ended
		}
		return err
	})
	return d, err
}

// Probe starts the health checks; to start them again does nothing. Before, nothing is
// known of any backend.
func (r *Reconciler) Probe(ctx context.Context) error {
	return r.ask(ctx, func() error {
		if r.probing {
			return nil
		}
		r.probing = true
		now := time.Now()
		r.mu.Lock()
		for _, g := range r.observed.groups {
			for _, k := range g.checks {
				k.began = now
			}
		}
		targets := r.observed.targets()
		r.mu.Unlock()
		r.prober.Set(targets)
		return nil
	})
}

// Settled waits until of every backend the first answer and the way there are known,
// however they are, or until ctx ends.
func (r *Reconciler) Settled(ctx context.Context) {
	settled := make(chan struct{})
	err := r.ask(ctx, func() error {
		r.waiting = append(r.waiting, settled)
		return r.reconcile()
	})
	if err != nil {
		return
	}
	select {
	case <-settled:
	case <-ctx.Done():
	}
}

// Attach makes h the source of next hops by the ports, and nil says that all of these are away. It
// returns when what is known by it is in force, or why it is not.
func (r *Reconciler) Attach(ctx context.Context, h Hops) error {
	return r.ask(ctx, func() error {
		r.mu.Lock()
		r.observed.hops = h
		addrs, neighbours := r.observed.addresses(), r.observed.snapshot.Neighbours
		r.mu.Unlock()
		if h != nil {
			h.Set(addrs)
			h.Remember(neighbours)
		}
		return r.reconcile()
	})
}

// Overrides returns those that there are.
func (r *Reconciler) Overrides() Overrides {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.observed.overrides
}

// Alive returns nil when the reconciling goroutine has come round, which it does whatever
// it does, and an error if ctx ends before.
func (r *Reconciler) Alive(ctx context.Context) error {
	return r.ask(ctx, func() error { return nil })
}

// View returns what is so now. It never waits.
func (r *Reconciler) View() *View { return r.view.Load() }
