package engine

import (
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// newOffline returns an offline engine that serves one nat service, as a user of the
// package makes it, and the kernels behind its workers.
func newOffline(t *testing.T, workers int, timeouts conntrack.Timeouts) (*Engine, []*xsktest.Kernel) {
	t.Helper()
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2)) // for its table
	kernels := make([]*xsktest.Kernel, workers)
	sockets := make([]*xsk.Socket, workers)
	for i := range kernels {
		kernels[i] = xsktest.New(256, 2048, 64)
		sockets[i] = kernels[i].Socket()
	}
	e, err := NewOffline(Config{MaxFlows: 1000, Timeouts: timeouts, Loads: balancer.NewLoads()}, sockets)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Apply(h.engine.table.Load(), new(bpf.Plan)); err != nil {
		t.Fatal(err)
	}
	for i := range kernels {
		step(t, e, i, 0) // fills the FILL ring
	}
	return e, kernels
}

func step(t *testing.T, e *Engine, worker, want int) {
	t.Helper()
	if n, err := e.Step(worker); n != want || err != nil {
		t.Fatalf("step of worker %d handled %d packets, %v; want %d", worker, n, err, want)
	}
}

func TestOffline(t *testing.T) {
	e, kernels := newOffline(t, 2, conntrack.DefaultTimeouts())
	syn := packettest.TCP(client4, vip4, packet.TCPSyn)
	kernels[0].Deliver(syn.Bytes())
	step(t, e, 0, 1)
	sent := kernels[0].Sent()
	if len(sent) != 1 {
		t.Fatalf("%d packets came out, want 1", len(sent))
	}
	out := packettest.Verify(t, sent[0])
	kernels[1].Deliver(packettest.TCP(out.Dst.String(), client4, packet.TCPSyn|packet.TCPAck).Bytes())
	step(t, e, 1, 1)
	if back := kernels[1].Sent(); len(back) != 1 || packettest.Verify(t, back[0]).Src != syn.Dst {
		t.Errorf("the reply on the other worker came out as %d packets", len(back))
	}

	step(t, e, 0, 0)
	step(t, e, 1, 0)
	in := e.Info()
	if got := e.Total(); got.Received != 2 || got.Verdicts != in.Total.Verdicts {
		t.Errorf("in total %+v", got)
	}
	if in.Total.Received != 2 || in.Total.Batches != 2 || in.Total.Verdicts[packet.Forwarded] != 2 {
		t.Errorf("counters of workers at rest: %+v", in.Total)
	}
	if in.Flows.Total() != 1 || in.Table.Generation != e.Oldest() {
		t.Errorf("%d flows, generation %d of %d; want one flow and the newest", in.Flows.Total(), e.Oldest(), in.Table.Generation)
	}
}

// No process was before an offline engine: what a backend sends to nobody waits for nobody.
func TestOfflineIsNotYoung(t *testing.T) {
	e, kernels := newOffline(t, 1, conntrack.DefaultTimeouts())
	kernels[0].Deliver(packettest.TCP("10.0.0.11:8080", client4, packet.TCPAck).Bytes())
	step(t, e, 0, 1)
	step(t, e, 0, 0)
	if in := e.Info(); in.Total.Verdicts[packet.Replied] != 1 {
		t.Errorf("the backend is not told: %v", in.Total.Verdicts)
	}
}

func TestOfflineExpire(t *testing.T) {
	timeouts := conntrack.DefaultTimeouts()
	timeouts[conntrack.TCPSyn] = time.Millisecond
	e, kernels := newOffline(t, 1, timeouts)
	kernels[0].Deliver(packettest.TCP(client4, vip4, packet.TCPSyn).Bytes())
	step(t, e, 0, 1)
	for now := e.clock.Now(); e.clock.Now() < now+5; { // the coarse clock is the event
	}
	e.Expire()
	if s := e.Info().Flows; s.Total() != 0 || s.Expired != 1 {
		t.Errorf("%d flows are left, %d expired", s.Total(), s.Expired)
	}
}

func TestOfflineNeedsSockets(t *testing.T) {
	if _, err := NewOffline(Config{MaxFlows: 10, Loads: balancer.NewLoads()}, nil); err == nil {
		t.Error("an engine without sockets was made")
	}
}

// A manual clock is all the time that there is.
func TestManualClock(t *testing.T) {
	c := NewManualClock()
	if now := c.Now(); now != 0 {
		t.Errorf("it begins at %d", now)
	}
	c.Set(1500*time.Millisecond + 1)
	if now := c.Now(); now != 1500 {
		t.Errorf("%d, want 1500", now)
	}
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 2)) // for its table
	timeouts := conntrack.DefaultTimeouts()
	timeouts[conntrack.TCPSyn] = time.Hour
	kernel := xsktest.New(256, 2048, 64)
	e, err := NewOffline(Config{MaxFlows: 1000, Timeouts: timeouts, Loads: balancer.NewLoads(), Clock: c}, []*xsk.Socket{kernel.Socket()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Apply(h.engine.Table(), nil); err != nil {
		t.Fatal(err)
	}
	kernel.Deliver(packettest.TCP(client4, vip4, packet.TCPSyn).Bytes())
	step(t, e, 0, 1)
	for _, test := range []struct {
		at   time.Duration
		want int
	}{{time.Hour, 1}, {time.Hour + time.Hour/8 + time.Second, 0}} {
		c.Set(test.at)
		if e.Expire(); e.Info().Flows.Total() != test.want {
			t.Errorf("%d flows after %v, want %d", e.Info().Flows.Total(), test.at, test.want)
		}
	}
}

// TestOutcome: what is told of each packet of a batch.
func TestOutcome(t *testing.T) {
	e, kernels := newOffline(t, 1, conntrack.DefaultTimeouts())
	syn := packettest.TCP(client4, vip4, packet.TCPSyn)
	damaged := syn.Bytes()
	damaged[14] = 0 // of what IP version?
	for name, test := range map[string]struct {
		frame []byte
		want  Outcome
	}{
		"damaged":    {damaged, Outcome{Verdict: packet.DropMalformed}},
		"no service": {packettest.TCP(client4, "192.0.2.10:81", packet.TCPSyn).Bytes(), Outcome{Verdict: packet.DropNoService}},
		"echo":       {packettest.Echo("198.51.100.7", "192.0.2.10", 1).Bytes(), Outcome{Verdict: packet.Replied}},
		"last hop": {func() []byte {
			f := packettest.TCP(client4, vip4, packet.TCPAck)
			f.TTL = 1
			return f.Bytes()
		}(), Outcome{Verdict: packet.Replied, To: true, Tracked: true, Class: conntrack.TCPSyn}},
	} {
		kernels[0].DeliverAll([][]byte{syn.Bytes(), test.frame})
		step(t, e, 0, 2)
		first, second := e.Outcome(0, 0), e.Outcome(0, 1)
		if want := (Outcome{Verdict: packet.Forwarded, To: true, Tracked: true, Class: conntrack.TCPSyn}); first != want {
			t.Errorf("%s: the SYN's is %+v, want %+v", name, first, want)
		}
		if second != test.want {
			t.Errorf("%s: %+v, want %+v", name, second, test.want)
		}
	}
	kernels[0].Deliver(packettest.TCP("10.0.0.11:8080", client4, packet.TCPSyn|packet.TCPAck).Bytes())
	step(t, e, 0, 1)
	if got, want := e.Outcome(0, 0), (Outcome{Verdict: packet.Forwarded, To: true, Tracked: true, Direction: conntrack.Reply, Class: conntrack.TCPSyn}); got != want {
		t.Errorf("the reply's is %+v, want %+v", got, want)
	}
}
