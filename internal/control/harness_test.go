package control

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/health"
	"github.com/afxlb/afxlb/internal/packet"
)

var addr = netip.MustParseAddr

// testSpec has a nat service that is probed and a dsr one that is not.
func testSpec() balancer.Spec {
	checked := balancer.HealthSpec{Type: balancer.HealthTCP, Interval: 10 * time.Second, Timeout: time.Second, Rise: 2, Fall: 3}
	return balancer.Spec{Services: []balancer.ServiceSpec{
		{
			Name: "web", Address: addr("192.0.2.10"), First: 80, Last: 80, Protocol: balancer.TCP, Health: checked,
			Backends: []balancer.BackendSpec{
				{Name: "a", Address: addr("10.0.0.11"), Port: 8080, Weight: 1},
				{Name: "b", Address: addr("10.0.0.12"), Weight: 3},
			},
		},
		{
			Name: "direct", Address: addr("192.0.2.20"), First: 53, Last: 53, Protocol: balancer.UDP, Mode: balancer.DSR,
			Health:   balancer.HealthSpec{Type: balancer.HealthNone},
			Backends: []balancer.BackendSpec{{Name: "a", Address: addr("10.0.0.11"), Weight: 0}},
		},
	}}
}

// webSpec is testSpec without the second service.
func webSpec() balancer.Spec {
	spec := testSpec()
	spec.Services = spec.Services[:1]
	return spec
}

// kernel is the Engine of these tests: it takes tables, unless told to refuse.
type kernel struct {
	mu     sync.Mutex
	tables []*balancer.Table
	refuse error
	slow   atomic.Int64          // nanoseconds that a table takes
	flows  map[netip.Addr]uint64 // by client, one each: where its replies go
	sweeps int
	speaks map[netip.Addr]bool // sources of full NAT

	succeeded atomic.Int64
}

func (k *kernel) MoveHops(to func(client packet.Addr, mac uint64) uint64) (moved int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sweeps++
	for a, mac := range k.flows {
		if now := to(packet.AddrFrom(a), mac); now != mac {
			k.flows[a] = now
			moved++
		}
	}
	return moved
}

func (k *kernel) Apply(t *balancer.Table, p *bpf.Plan) error {
	time.Sleep(time.Duration(k.slow.Load()))
	k.mu.Lock()
	defer k.mu.Unlock()
	if p == nil {
		return errors.New("a table without a plan")
	}
	k.tables = append(k.tables, t)
	return k.refuse
}

// count returns how many tables there were.
func (k *kernel) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.tables)
}

func (k *kernel) Oldest() uint64 { return 0 }

func (k *kernel) Succeed() { k.succeeded.Add(1) }

func (k *kernel) SpeaksFrom(a netip.Addr) bool { return k.speaks[a] }

func (k *kernel) table() *balancer.Table {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.tables[len(k.tables)-1]
}

func (k *kernel) set(refuse error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuse = refuse
}

// wire is the Hops of these tests, and who answers probes.
type wire struct {
	mu       sync.Mutex
	notify   func()
	snapshot egress.Snapshot
	wanted   []netip.Addr
	moves    []egress.Move
	former   map[egress.Neighbour]egress.Place // that it was told of
	answers  map[netip.Addr]error              // to probes; missing: silence
	probes   map[string]int                    // by address and port
}

func newWire(alive ...string) *wire {
	w := &wire{
		snapshot: egress.Snapshot{LinkUp: true, Ports: []egress.Port{{Name: "eth0", Ifindex: 2, Up: true, MAC: [6]byte{2, 0, 0, 0, 9, 9}, MTU: 1500}}, Hops: map[netip.Addr]egress.Hop{}},
		answers:  map[netip.Addr]error{}, probes: map[string]int{}, notify: func() {},
	}
	for i, a := range alive {
		w.answers[addr(a)] = nil
		w.snapshot.Hops[addr(a)] = egress.Hop{OnLink: true, Via: addr(a), Device: 2, Known: true, MTU: 1500, MAC: [6]byte{2, 0, 0, 0, 0, byte(i + 1)}}
	}
	return w
}

func (w *wire) Snapshot() egress.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.snapshot
}

func (w *wire) Set(a []netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted = a
}

func (w *wire) Moves() []egress.Move {
	w.mu.Lock()
	defer w.mu.Unlock()
	moves := w.moves
	w.moves = nil
	return moves
}

func (w *wire) Remember(former map[egress.Neighbour]egress.Place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.former = former
}

// change changes the snapshot, whose hops are a copy, and tells.
func (w *wire) change(f func(s *egress.Snapshot)) {
	w.mu.Lock()
	hops := map[netip.Addr]egress.Hop{}
	for a, h := range w.snapshot.Hops {
		hops[a] = h
	}
	w.snapshot.Hops = hops
	f(&w.snapshot)
	w.mu.Unlock()
	w.notify()
}

var errRefused = errors.New("connection refused")

// answer has addresses answer probes with err from now on.
func (w *wire) answer(err error, addresses ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range addresses {
		w.answers[addr(a)] = err
	}
}

// silence has addresses leave probes unanswered from now on.
func (w *wire) silence(addresses ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range addresses {
		delete(w.answers, addr(a))
	}
}

func (w *wire) dial(ctx context.Context, _, address string) (net.Conn, error) {
	w.mu.Lock()
	w.probes[address]++
	err, known := w.answers[netip.MustParseAddrPort(address).Addr()]
	w.mu.Unlock()
	switch {
	case !known:
		<-ctx.Done()
		return nil, ctx.Err()
	case err != nil:
		return nil, err
	}
	here, there := net.Pipe()
	there.Close()
	return here, nil
}

func (w *wire) probed(address string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probes[address]
}

// rig is a reconciler at work.
type rig struct {
	*Reconciler
	t      *testing.T
	kernel *kernel
	wire   *wire
	log    *observer.ObservedLogs
}

// start starts a reconciler in a bubble of synctest, as the daemon does.
func start(t *testing.T, w *wire, spec balancer.Spec, options ...health.Option) *rig {
	t.Helper()
	r := newRig(t, w, spec, options...)
	r.serve()
	return r
}

// newRig returns one that runs and has no interface yet.
func newRig(t *testing.T, w *wire, spec balancer.Spec, options ...health.Option) *rig {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	r := &rig{t: t, kernel: &kernel{}, wire: w, log: logs}
	r.Reconciler = New(Options{
		Engine: r.kernel, Loads: balancer.NewLoads(), Spec: copyOf(spec), Log: zap.New(core), Events: events.NewRecorder(zap.New(core)),
		Health: append(options, health.WithDial(w.dial)),
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	w.notify = r.Notify
	return r
}

// serve gives it the interface, and has backends asked.
func (r *rig) serve() {
	r.t.Helper()
	r.must(r.Attach(r.t.Context(), r.wire))
	r.must(r.Probe(r.t.Context()))
}

// Reload is the Reconciler's, for those who do not ask what it has changed, of a copy of
// spec, that may be changed then.
func (r *rig) Reload(ctx context.Context, spec balancer.Spec) error {
	_, err := r.Reconciler.Reload(ctx, copyOf(spec))
	return err
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// after lets time pass, and what is due in it happen.
func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	time.Sleep(2 * burst)
	synctest.Wait()
}

// expect holds the backends' states, given as service/backend, against the View.
func (r *rig) expect(when string, want map[string]string) {
	r.t.Helper()
	after(0)
	v := r.View()
	got := map[string]string{}
	for i := range v.Services {
		for j := range v.Services[i].Backends {
			b := &v.Services[i].Backends[j]
			got[v.Services[i].Spec.Name+"/"+b.Name], _, _ = v.Shown(b)
		}
	}
	for name, state := range want {
		if got[name] != state {
			r.t.Errorf("%s: %s is %q, want %q", when, name, got[name], state)
		}
	}
}

// flags returns what the table in force says of a backend.
func (r *rig) flags(service, backend string) balancer.Flags {
	r.t.Helper()
	t := r.kernel.table()
	id := slices.Index(t.Refs, balancer.BackendRef{Service: service, Backend: backend})
	if id < 0 {
		r.t.Fatalf("no backend %s/%s in the table", service, backend)
	}
	return t.Backends[id].Flags
}

// logged returns how many lines of the log have the text.
func (r *rig) logged(text string) int { return r.log.FilterMessage(text).Len() }
