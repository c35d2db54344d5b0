package rig

import (
	"fmt"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// ringSize and frameSize are package xsk's defaults, as are four frames to an entry.
const (
	ringSize  = 2048
	frameSize = 2048
)

// Rig is an engine on the bench.
type Rig struct {
	config   Config
	engine   *engine.Engine
	compiler *balancer.Compiler
	table    *balancer.Table
	lines    []*line
	ends     []traffic.End // by flow, what its backend takes for the client's end; nil: that itself
	stop     chan struct{}
}

// newKernels returns the other sides of the workers' sockets. They are made apart, so
// that their memory is not taken for the engine's.
func newKernels(workers int) []*xsktest.Kernel {
	kernels := make([]*xsktest.Kernel, workers)
	for i := range kernels {
		k := xsktest.New(4*ringSize, frameSize, ringSize)
		k.Record(false)
		k.SetNeedWakeup(false) // packets are taken off the TX ring between the passes
		kernels[i] = k
	}
	return kernels
}

// newRig returns a rig without flows, whose housekeeping runs until Close.
func newRig(c Config, kernels []*xsktest.Kernel) (*Rig, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	loads := balancer.NewLoads()
	sockets := make([]*xsk.Socket, len(kernels))
	for i, k := range kernels {
		sockets[i] = k.Socket()
	}
	e, err := engine.NewOffline(engine.Config{MaxFlows: c.maxFlows(), Timeouts: conntrack.DefaultTimeouts(), Loads: loads}, sockets)
	if err != nil {
		return nil, err
	}
	r := &Rig{config: c, engine: e, compiler: balancer.NewCompiler(loads), stop: make(chan struct{})}
	if err := r.apply(c.spec()); err != nil {
		return nil, err
	}
	for i, k := range kernels {
		r.lines = append(r.lines, newLine(r, i, k))
		if _, err := e.Step(i); err != nil { // fills the FILL ring
			return nil, err
		}
	}
	go r.tend()
	return r, nil
}

// New returns a rig with its flows established, which tells progress now and then.
func New(c Config, progress func(string)) (*Rig, error) {
	r, err := newRig(c, newKernels(c.Workers))
	if err != nil {
		return nil, err
	}
	if err := r.establish(progress); err != nil {
		r.Close()
		return nil, err
	}
	progress("shuffling")
	hands := traffic.Deal(r.packets(), c.Workers)
	for i, l := range r.lines {
		l.packets = hands[i]
	}
	progress("warming up")
	for _, l := range r.lines { // the workers' own caches, each packet once
		x := run{line: l}
		if x.untimed(mix{Sizes: traffic.Small}, len(l.packets)); x.err != nil {
			r.Close()
			return nil, x.err
		}
	}
	return r, nil
}

// Close ends the housekeeping.
func (r *Rig) Close() { close(r.stop) }

// tend is what engine.Run does beside the workers.
func (r *Rig) tend() {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.engine.Expire()
		case <-r.stop:
			return
		}
	}
}

// apply makes spec the engine's next generation.
func (r *Rig) apply(spec balancer.Spec) error {
	if problems := spec.Validate(); len(problems) > 0 {
		return fmt.Errorf("rig: %w", problems)
	}
	facts := r.config.facts()
	facts.Oldest = r.engine.Oldest()
	d, err := r.compiler.Compile(&spec, &facts)
	if err != nil {
		return fmt.Errorf("rig: %w", err)
	}
	r.compiler.Commit(d)
	r.table = d.Table
	return r.engine.Apply(d.Table, nil) // there is no kernel to steer anything
}

// packets returns the packets of all flows, one for each direction that comes through
// the balancer.
func (r *Rig) packets() []traffic.Packet {
	var all []traffic.Packet
	if r.replies() {
		all = make([]traffic.Packet, 0, 2*r.config.Flows)
	}
	for n := range uint32(r.config.Flows) {
		b := r.backendOf(n)
		all = append(all, traffic.NewPacket(n, b, conntrack.Request))
		if r.replies() {
			all = append(all, traffic.NewPacket(n, b, conntrack.Reply))
		}
	}
	return all
}

// replies reports whether they come through the balancer.
func (r *Rig) replies() bool { return r.table.Services[0].Mode.Traits().RepliesReturn }

// translatesSource reports whether they come to the balancer's own addresses.
func (r *Rig) translatesSource() bool { return r.table.Services[0].Mode.Traits().TranslatesSource }

// backendOf returns the number of the backend that flow n is at. IDs are handed out in
// the spec's order.
func (r *Rig) backendOf(n uint32) int {
	k := r.config.Family.Key(n)
	id, _ := r.table.Services[0].Consistent(&k)
	return int(id)
}

// totals returns what the workers have counted up to now. None may be at work.
func (r *Rig) totals() (engine.Info, error) {
	for i := range r.lines {
		if _, err := r.engine.Step(i); err != nil { // nothing to do: it publishes
			return engine.Info{}, fmt.Errorf("rig: worker %d: %w", i, err)
		}
	}
	return r.engine.Info(), nil
}

// account says how many packets took the slow path between two totals, and of how many
// in all. It is an error if more than a few were not forwarded: dropping is fast, and no
// figure.
func account(before, after *engine.Info) (misses, all uint64, err error) {
	received := after.Total.Received - before.Total.Received
	forwarded := after.Total.Verdicts[packet.Forwarded] - before.Total.Verdicts[packet.Forwarded]
	if received-forwarded > received/1000 {
		return 0, 0, fmt.Errorf("rig: of %d packets %d were forwarded; all verdicts so far: %v", received, forwarded, after.Total.Verdicts)
	}
	return after.Total.Misses - before.Total.Misses, received, nil
}
