package rig

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// newTestRig returns a rig that the test closes.
func newTestRig(t *testing.T, c Config) *Rig {
	t.Helper()
	r, err := New(c, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// eachConfig runs a test for both modes and families.
func eachConfig(t *testing.T, workers int, test func(t *testing.T, r *Rig)) {
	each(func(mode string, f traffic.Family) {
		t.Run(mode+" "+string(f), func(t *testing.T) {
			test(t, newTestRig(t, Config{Mode: mode, Family: f, Flows: 3000, Workers: workers}))
		})
	})
}

// Every flow that the generator sends is one that the engine remembers, at the backend
// that the generator takes it to be at.
func TestFlowsAreEstablished(t *testing.T) {
	eachConfig(t, 2, func(t *testing.T, r *Rig) {
		flows := map[packet.Key]conntrack.Info{}
		r.engine.EachFlow(func(f conntrack.Info) bool {
			flows[f.Key] = f
			return true
		})
		if len(flows) != 3000 {
			t.Fatalf("%d flows, want 3000", len(flows))
		}
		directions := map[conntrack.Direction]int{}
		for _, l := range r.lines {
			for _, p := range l.packets {
				f, ok := flows[r.config.Family.Key(p.Flow())]
				want := packet.AddrFrom(r.config.Family.Backend(p.Backend()))
				if !ok || f.Class != r.established() || f.Backend != want {
					t.Fatalf("flow %d at backend %d is remembered as %+v", p.Flow(), p.Backend(), f)
				}
				directions[p.Direction()]++
			}
		}
		replies := 0
		if r.replies() {
			replies = 3000
		}
		if directions[conntrack.Request] != 3000 || directions[conntrack.Reply] != replies {
			t.Errorf("packets by direction: %v", directions)
		}
	})
}

// What is measured is the real thing: packets come out rewritten and with right
// checksums.
func TestPacketsComeOutRight(t *testing.T) {
	eachConfig(t, 1, func(t *testing.T, r *Rig) {
		l := r.lines[0]
		l.kernel.Record(true)
		x := run{line: l}
		if x.untimed(mix{Sizes: traffic.IMIX}, 3*batch); x.err != nil {
			t.Fatal(x.err)
		}
		sent := l.kernel.Sent()
		if len(sent) != 3*batch {
			t.Fatalf("%d packets came out of %d", len(sent), 3*batch)
		}
		for i, b := range sent {
			p := l.packets[(len(l.packets)+l.next-3*batch+i)%len(l.packets)]
			got := packettest.Verify(t, b)
			client, service := r.config.Family.Client(p.Flow()), r.config.Family.Service()
			switch {
			case p.Direction() == conntrack.Reply:
				if got.Dst != client || got.Src.Addr() != service {
					t.Errorf("reply to %v left from %v to %v", client, got.Src, got.Dst)
				}
			case r.translatesSource():
				e := r.ends[p.Flow()]
				if got.Src != netip.AddrPortFrom(r.config.Family.Source(int(e.Low)), e.Port) || got.Dst.Addr() != r.config.Family.Backend(p.Backend()) {
					t.Errorf("request of %v left from %v to %v", client, got.Src, got.Dst)
				}
			case r.replies():
				if got.Src != client || got.Dst.Addr() != r.config.Family.Backend(p.Backend()) {
					t.Errorf("request of %v left from %v to %v", client, got.Src, got.Dst)
				}
			case got.Src != client || got.Dst.Addr() != service:
				t.Errorf("request of %v left from %v to %v", client, got.Src, got.Dst)
			}
		}
		if err := l.kernel.Err(); err != nil {
			t.Error(err)
		}
	})
}

// What goes in tunnels comes out of them as it was sent.
func TestTunnelsComeOutRight(t *testing.T) {
	for _, mode := range tunnels {
		for _, f := range families {
			r := newTestRig(t, Config{Mode: mode, Family: f, Flows: 3000, Workers: 1})
			l := r.lines[0]
			l.kernel.Record(true)
			x := run{line: l}
			if x.untimed(mix{Sizes: traffic.IMIX}, batch); x.err != nil {
				t.Fatal(x.err)
			}
			for i, b := range l.kernel.Sent() {
				p := l.packets[(len(l.packets)+l.next-batch+i)%len(l.packets)]
				outer, got := packettest.Unwrap(t, b)
				if outer.Dst.Addr() != f.Backend(p.Backend()) || got.Src != f.Client(p.Flow()) || got.Dst.Addr() != f.Service() {
					t.Errorf("%s: request of %v to %v left for %v", mode, got.Src, got.Dst, outer.Dst)
				}
			}
		}
	}
}

func TestMeasure(t *testing.T) {
	eachConfig(t, 2, func(t *testing.T, r *Rig) {
		const packets = 100 * batch
		o, err := r.measure(mix{Sizes: traffic.Small}, packets, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if o.packets != 2*packets || o.packets != batch*uint64(o.batches.TotalCount()) {
			t.Errorf("%d packets in %d batches", o.packets, o.batches.TotalCount())
		}
		if o.busy <= 0 || o.perPacket() <= 0 || o.perSec <= 0 {
			t.Errorf("no time has passed: %+v", o)
		}
		if o.all < o.packets || o.misses > o.all/100 {
			t.Errorf("%d of %d packets of known flows took the slow path", o.misses, o.all)
		}
	})
}

func TestMeasureNewFlows(t *testing.T) {
	for _, share := range []float64{0.01, 0.1, 1} {
		r := newTestRig(t, Config{Mode: "nat", Family: traffic.IPv4, Flows: 1000, Workers: 1})
		const packets = 100 * batch
		o, err := r.measure(mix{Sizes: traffic.Small, New: share}, packets, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(o.misses) / float64(o.all); got < share-0.001 || got > share+0.02 {
			t.Errorf("share %v: %v of the packets took the slow path", share, got)
		}
		in, err := r.totals()
		if err != nil {
			t.Fatal(err)
		}
		if n := in.Flows.Flows[r.established()]; n != 1000 {
			t.Errorf("share %v: %d known flows are left of 1000", share, n)
		}
	}
}

// A measurement whose packets are dropped is refused.
func TestDropsAreNoResult(t *testing.T) {
	r := newTestRig(t, Config{Mode: "nat", Family: traffic.IPv4, Flows: 1000, Workers: 1})
	spec := r.config.spec()
	spec.Services[0].Address = traffic.IPv4.Backend(77) // the service has moved
	if err := r.apply(spec); err != nil {
		t.Fatal(err)
	}
	if _, err := r.measure(mix{Sizes: traffic.Small, New: 1}, 10*batch, 0); err == nil || !strings.Contains(err.Error(), "were forwarded") {
		t.Errorf("measuring drops: %v", err)
	}
}

func TestReferenceKnowsEveryPacket(t *testing.T) {
	eachConfig(t, 1, func(t *testing.T, r *Rig) {
		m := newGoMap(r).learn(r, r.config.Flows)
		costs, err := r.reference(m, traffic.IMIX, 2*len(r.lines[0].packets))
		if err != nil {
			t.Fatal(err)
		}
		if costs.parse <= 0 || costs.lookup <= 0 {
			t.Errorf("no time has passed: %+v", costs)
		}
		stranger := r.config.Family.Key(3000)
		if _, ok := m.get(&stranger); ok {
			t.Error("the reference knows a flow that does not exist")
		}
		r.lines[0].packets = append(r.lines[0].packets, traffic.NewPacket(3000, 0, conntrack.Request))
		if _, err := r.reference(m, traffic.Small, 2*len(r.lines[0].packets)); err == nil {
			t.Error("a reference that does not find a flow was taken for one")
		}
	})
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []Config{
		{Mode: "teleport", Family: traffic.IPv4, Flows: 1, Workers: 1},
		{Mode: "nat", Family: traffic.IPv4, Flows: traffic.MaxFlows + 1, Workers: 1},
		{Mode: "nat", Family: traffic.IPv4, Workers: 1},
	} {
		if _, err := New(c, func(string) {}); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}
