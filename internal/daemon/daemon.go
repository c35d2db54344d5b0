// Package daemon is the life cycle of a balancer, in one place and in order:
//
//	plan ─► socket ─► attach ─► first answers ─► workers ─► ready
//
// and the same way back. The plan comes first, so that a wish that can't be fulfilled
// touches nothing; the program, the AF_XDP sockets and their descriptors come before
// the probes, which are many; and the workers start with a table that knows what the
// backends have answered, so that nothing is refused or moved for want of an answer.
// While the interface is away everything but the attachment stays.
package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/health"
	"github.com/afxlb/afxlb/internal/metrics"
	"github.com/afxlb/afxlb/internal/report"
	"github.com/afxlb/afxlb/xsk"
)

// Options say what to run.
type Options struct {
	Load func() (*config.Config, error) // reads the file and lays the flags over it
	// Parse does so with a text instead, for which a name stands in messages.
	Parse   func(name string, text []byte) (*config.Config, error)
	Path    string // the file's, for the status
	Socket  string // control socket
	Version string
	Hangup  <-chan os.Signal // each is a reload
	Log     io.Writer
}

// daemon is a balancer that runs.
type daemon struct {
	Options
	config  *config.Config // as started
	grows   bool           // there are bonds, which may get slaves
	started time.Time
	log     *zap.Logger
	level   zap.AtomicLevel
	events  *events.Recorder
	engine  *engine.Engine
	control *control.Reconciler

	reloading sync.Mutex     // one reload, or change of a backend, at a time
	kept      kept           // guarded by reloading
	inForce   *config.Config // what was loaded last; guarded by reloading
	listeners listeners
	addresses addresses

	mu    sync.Mutex
	state state
}

// Run balances until ctx ends, and then returns nil with nothing left behind. An
// interface that goes away later is waited for, while others are served; one that can't be
// served from the start is an error. It is a [doctor.MachineError] if the machine can't do what is asked.
func Run(ctx context.Context, o Options) error {
	// Who reads the log may go; its last line must not take the balancer along.
	signal.Ignore(syscall.SIGPIPE)
	d := &daemon{Options: o, started: time.Now(), state: state{name: api.StateStarting}}
	var err error
	if d.config, err = o.Load(); err != nil {
		return err
	}
	d.inForce = d.config
	lines := newLines(o.Log, newEncoder(d.config.Log))
	defer lines.end()
	d.log, d.level = newLog(lines, d.config.Log)
	d.events = events.NewRecorder(d.log)
	return d.run(ctx)
}

func (d *daemon) run(ctx context.Context) error {
	if err := control.Check(&d.config.Spec); err != nil {
		return err
	}
	ports, err := doctor.Expand(d.config.Interfaces)
	if err != nil {
		return err
	}
	asked := EngineConfig(d.config)
	where, err := doctor.Survey(&asked, ports)
	if err == nil {
		err = where.Refuse()
	}
	if err == nil {
		err = doctor.AsMachine(xsk.Probe())
	}
	if err != nil {
		return err
	}
	for _, name := range ports {
		d.state.ports = append(d.state.ports, report.Port{Name: name})
	}
	d.grows = !slices.Equal(ports, d.config.Interfaces)
	settings := d.settings()
	takes := doctor.NeedOf(&settings, &d.config.Spec, where.Largest(), where.Workers)
	if err := errors.Join(takes.WithinGroup(), takes.WithinLock()); err != nil {
		return err
	}
	doors, err := d.openDoors() // before what is large: another instance may be there
	if err != nil {
		return err
	}
	defer doors.close()
	loads := balancer.NewLoads()
	settings.Loads = loads
	d.engine, err = engine.New(settings)
	var files shares
	if err == nil {
		n := engine.Room(len(ports), d.grows)
		files, err = share(engine.Descriptors(n, where.Workers), n, where.Workers)
	}
	if err != nil {
		return err
	}
	reporter := &report.Source{Engine: d.engine, Loads: loads, About: d.about}
	measured := metrics.New(reporter)
	if err := d.openAddresses(loads); err != nil {
		return err
	}
	defer d.addresses.announcer.Close()
	reporter.Addresses = d.addresses.announcer.States
	d.control = control.New(control.Options{
		Published: d.addresses.announcer.Kick,
		Engine:    d.engine, Loads: loads, Probed: measured.Probed, Spec: d.config.Spec, Overrides: d.recall(), Log: d.log, Events: d.events,
		Health: []health.Option{health.WithInFlight(files.probes)},
	})
	reporter.View, reporter.Probed = d.control.View, d.control.Probed
	d.events.Record(events.Event{Kind: events.Start, Severity: events.Info, Text: "starting"}, zap.String("version", d.Version), zap.Stringer("interface", d.config.Interfaces),
		zap.Ints("queues", where.Queues()), zap.Int("services", len(d.config.Spec.Services)), zap.Int("pid", os.Getpid()),
		zap.Uint64("memory_mb", takes.Resident/1e6), zap.Uint64("locked_mb", takes.Locked/1e6), zap.Int("probes_in_flight", files.probes))

	// What serves the serving ends after it: a question that was asked gets its answer.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	var tasks sync.WaitGroup
	var serving error
	tasks.Go(func() { d.control.Run(background) })
	tasks.Go(func() { d.reloadOnHangup(background) })
	tasks.Go(func() { d.notice(background) })
	tasks.Go(func() { d.keepAgain(background) })
	tasks.Go(func() { d.watchSources(background) })
	tasks.Go(func() { d.watchLimits(background, beside{reporter.Full, reporter.Mute}) })
	tasks.Go(func() { d.addresses.announcer.Run(background) })
	tasks.Go(func() { d.watchPulse(background) })
	tasks.Go(func() { d.watchMachine(background) })
	src := source{reporter, d.own()}
	tasks.Go(func() { serving = d.serveAPI(background, src, doors, files.clients) })
	tasks.Go(func() { d.serveWeb(background, src, measured, files.web) })
	err = d.serveUntil(ctx)
	d.enter(api.StateStopping, nil)
	d.tell("STOPPING=1")
	stop()
	tasks.Wait()
	if err == nil {
		err = serving
	}
	if err == nil {
		d.events.Record(events.Event{Kind: events.Stop, Severity: events.Info, Text: "stopped"})
	}
	return err
}
