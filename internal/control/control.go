package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/health"
	"github.com/afxlb/afxlb/internal/neighbour"
	"github.com/afxlb/afxlb/xsk"
)

// errInterfaceGone ends a run when the interface disappears.
var errInterfaceGone = errors.New("the interface is gone")

// Options say what to control and what to report about it.
type Options struct {
	Engine  engine.Config
	Spec    balancer.Spec
	Version string
	Config  string // the file's path, for status
	Log     *zap.Logger
	Health  []health.Option // of the prober
}

// Controller runs a balancer. Its exported methods may be called by anyone.
type Controller struct {
	// Immutable.

	options Options
	log     *zap.Logger
	engine  *engine.Engine
	loads   *balancer.Loads
	prober  *health.Prober
	started time.Time
	changed chan struct{} // holds a token when something has changed

	probing sync.Mutex // held while the prober gets its targets, before mu: the last checks win

	mu       sync.Mutex // the rest
	spec     balancer.Spec
	checks   map[balancer.BackendRef]*check
	watcher  *neighbour.Watcher // nil while the interface is away
	hops     neighbour.Snapshot // the latest
	compiler *balancer.Compiler
	table    *balancer.Table // in force; nil: none, or it is not known which
	made     origin          // of table
	state    string
	reason   string
	reload   string
	alarm    *time.Timer // for what time alone changes; nil: nothing
}

// origin is all that a table and its steering are made from.
type origin struct {
	spec     balancer.Spec
	facts    balancer.Facts
	steering bpf.Steering
}

// New returns a controller that has not touched the kernel yet.
func New(o Options) (*Controller, error) {
	loads := balancer.NewLoads()
	o.Engine.Loads = loads
	e, err := engine.New(o.Engine)
	if err != nil {
		return nil, err
	}
	c := &Controller{
		options: o, log: o.Log, engine: e, loads: loads, started: time.Now(),
		changed:  make(chan struct{}, 1),
		spec:     o.Spec,
		compiler: balancer.NewCompiler(loads),
		state:    StateStarting,
	}
	c.checks = c.newChecks(&c.spec)
	c.prober = health.New(o.Log.Named("health"), c.observe, o.Health...)
	return c, nil
}

// The states of a [Controller].
const (
	StateStarting = "starting"
	StateServing  = "serving"
	StateWaiting  = "waiting" // for the interface
	StateStopping = "stopping"
)

// retryInterval is how often an interface that went away is looked for, and how soon
// a table that could not be put in force is tried again.
const retryInterval = time.Second

// Run serves until ctx ends, and then returns nil with nothing left behind. An
// interface that goes away later is waited for; one that can't be served from the
// start is an error.
func (c *Controller) Run(ctx context.Context) error {
	defer c.rest()
	c.probe()
	for {
		served, err := c.serve(ctx)
		if ctx.Err() != nil {
			c.enter(StateStopping, nil)
			return err
		}
		if !served && c.State() != StateWaiting {
			return err
		}
		if c.State() != StateWaiting {
			c.log.Warn("waiting for the interface", zap.String("interface", c.options.Engine.Interface), zap.Error(err))
		}
		c.enter(StateWaiting, err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retryInterval):
		}
	}
}

// serve works on the interface as long as it is there. served tells whether it
// ever came to work.
func (c *Controller) serve(ctx context.Context) (served bool, err error) {
	name := c.options.Engine.Interface
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return false, fmt.Errorf("find %s: %w", name, xsk.ErrNoInterface)
	}
	w, err := neighbour.New(name, c.log.Named("neighbour"), c.poke)
	if err != nil {
		return false, err
	}
	defer func() {
		c.setWatcher(nil)
		w.Close()
	}()
	c.setWatcher(w)
	if err := c.rebuild(); err != nil {
		return false, err
	}
	defer func() {
		if cerr := c.engine.Close(); cerr != nil && err == nil {
			err = cerr
		}
	}()
	if err := c.engine.Open(iface.Index); err != nil {
		return false, err
	}
	c.enter(StateServing, nil)
	c.logServing()

	ctx, stop := context.WithCancelCause(ctx)
	var loop sync.WaitGroup
	loop.Go(func() { c.follow(ctx, w, iface.Index, stop) })
	err = c.engine.Run(ctx)
	stop(nil)
	loop.Wait()
	if cause := context.Cause(ctx); err == nil && errors.Is(cause, errInterfaceGone) {
		err = cause
	}
	return true, err
}

// follow rebuilds the table whenever something changed, until ctx ends or the
// interface is gone.
func (c *Controller) follow(ctx context.Context, w *neighbour.Watcher, ifindex int, stop context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.changed:
		}
		if s := w.Snapshot(); s.Gone || s.Ifindex != ifindex {
			stop(errInterfaceGone)
			return
		}
		if err := c.rebuild(); err != nil {
			c.log.Error("no new table", zap.Error(err))
		}
	}
}

// poke says that something has changed. It never blocks.
func (c *Controller) poke() {
	select {
	case c.changed <- struct{}{}:
	default: // said already
	}
}

// rebuild makes the engine's table what it should be by all that is known now.
func (c *Controller) rebuild() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.renew()
}

// renew compiles a table, unless it would say the same as the one in force, and
// hands it to the engine. After an error it is tried again, at the next change or a
// little later. The lock is held.
func (c *Controller) renew() (err error) {
	facts, wait := c.gather()
	want := origin{c.spec, facts, steer(&c.spec, c.hops.Local)}
	defer func() {
		if err != nil {
			wait = retryInterval
		}
		c.wakeAfter(wait)
	}()
	c.made.facts.Oldest = facts.Oldest // no fact about the world, so no reason for a new table
	if c.table != nil && reflect.DeepEqual(want, c.made) {
		return nil
	}
	t, err := c.compiler.Compile(c.spec, facts)
	if err != nil {
		return err // the one in force stays
	}
	c.table = nil
	if err := c.engine.Apply(t, want.steering); err != nil {
		return err
	}
	c.table, c.made = t, want
	c.log.Debug("new table", zap.Uint64("generation", t.Generation))
	return nil
}

// wakeAfter has the table looked at again after a while, or not if that is 0. The
// lock is held.
func (c *Controller) wakeAfter(wait time.Duration) {
	if c.alarm != nil {
		c.alarm.Stop()
		c.alarm = nil
	}
	if wait > 0 {
		c.alarm = time.AfterFunc(wait, c.poke)
	}
}

// rest ends what goes on by itself.
func (c *Controller) rest() {
	c.prober.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wakeAfter(0)
}
