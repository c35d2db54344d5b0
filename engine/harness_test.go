package engine

import (
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// The lab of these tests: a balancer whose workers' sockets have a fake kernel
// behind them.
const (
	client4, client6 = "198.51.100.7:40000", "[2001:db8:100::7]:40000"
	vip4, vip6       = "192.0.2.10:80", "[2001:db8:2::10]:80"
)

var gatewayMAC = packet.MAC{2, 0, 0, 0, 9, 9} // the balancer's own

type harness struct {
	t        testing.TB
	engine   *Engine
	compiler *balancer.Compiler
	kernels  []*xsktest.Kernel
	spec     balancer.Spec
	facts    balancer.Facts
}

func newHarness(t testing.TB, workers int, services ...balancer.ServiceSpec) *harness {
	t.Helper()
	return newSizedHarness(t, workers, 1000, 64, services...)
}

func newSizedHarness(t testing.TB, workers, maxFlows int, ring uint32, services ...balancer.ServiceSpec) *harness {
	t.Helper()
	return newHarnessOf(t, Config{Queues: make([]int, workers), MaxFlows: maxFlows}, ring, services...)
}

// newHarnessOf returns one with a config of which only the queues' number, the flows' and the
// clock count, and the seed.
func newHarnessOf(t testing.TB, c Config, ring uint32, services ...balancer.ServiceSpec) *harness {
	t.Helper()
	loads := balancer.NewLoads()
	c.Interfaces, c.Timeouts, c.Loads = []string{"fake0"}, conntrack.DefaultTimeouts(), loads
	for i := range c.Queues {
		c.Queues[i] = i
	}
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	e.young.Store(false)
	h := &harness{t: t, engine: e, compiler: balancer.NewCompiler(loads), spec: balancer.Spec{Services: services}}
	for range e.workers {
		h.kernels = append(h.kernels, xsktest.New(4*ring, 2048, ring))
	}
	h.plug()
	h.facts = balancer.Facts{Ports: []balancer.Port{{MAC: gatewayMAC, MTU: 1500}}, States: map[balancer.BackendKey]balancer.State{}, NextHops: map[netip.Addr]balancer.NextHop{}}
	h.resolve(services...)
	h.apply()
	for _, w := range e.workers {
		w.adopt(e.table.Load())
		e.flows.Grace.Quiescent(w.id)
	}
	return h
}

// plug gives the workers sockets with the harness's kernels behind them.
func (h *harness) plug() {
	var sockets []*xsk.Socket
	for _, k := range h.kernels {
		sockets = append(sockets, k.Socket())
	}
	must(h.t, h.engine.hand(leaseOf(sockets)))
}

// resolve makes the next hops of all backends of services known.
func (h *harness) resolve(services ...balancer.ServiceSpec) {
	for _, s := range services {
		for _, b := range s.Backends {
			h.facts.NextHops[b.Address] = balancer.NextHop{MAC: backendMAC(b.Address), OnLink: true, Own: ownAddress(b.Address)}
		}
	}
}

// ownAddress returns the balancer's own address of a family.
func ownAddress(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.MustParseAddr("10.0.0.1")
	}
	return netip.MustParseAddr("2001:db8:10::1")
}

// backendMAC derives a MAC from an address, so that a wrong one shows.
func backendMAC(a netip.Addr) packet.MAC {
	b := a.As16()
	return packet.MAC{2, 0xbe, 0, 0, b[14], b[15]}
}

// apply compiles the harness's spec and facts and hands them to the engine.
func (h *harness) apply() {
	h.t.Helper()
	d, err := h.compiler.Compile(&h.spec, &h.facts)
	if err != nil {
		h.t.Fatal(err)
	}
	h.compiler.Commit(d)
	h.engine.table.Store(d.Table)
}

// setHealth declares a backend up, down or whatever. The specs here have health none
// unless a test says otherwise.
func (h *harness) setHealth(service, backend string, state balancer.State) {
	h.t.Helper()
	h.facts.States[h.key(service, backend)] = state
	h.apply()
}

// key returns the identity of the backend with this name.
func (h *harness) key(service, backend string) balancer.BackendKey {
	h.t.Helper()
	for i := range h.spec.Services {
		s := &h.spec.Services[i]
		for j := range s.Backends {
			if s.Name == service && s.Backends[j].Name == backend {
				return s.BackendKey(&s.Backends[j])
			}
		}
	}
	h.t.Fatalf("no backend %s of a service %s", backend, service)
	return balancer.BackendKey{}
}

// pass delivers frames on a queue, runs its worker until they are all handled,
// and returns what was sent. It holds the invariants against every batch.
func (h *harness) pass(queue int, frames ...packettest.Frame) [][]byte {
	h.t.Helper()
	raw := make([][]byte, len(frames))
	for i := range frames {
		raw[i] = frames[i].Bytes()
	}
	return h.passRaw(queue, raw...)
}

func (h *harness) passRaw(queue int, raw ...[]byte) [][]byte {
	h.t.Helper()
	k, w := h.kernels[queue], h.engine.workers[queue]
	for len(raw) > 0 {
		w.socket.Recycle()
		n := k.DeliverAll(raw)
		if n == 0 {
			h.t.Fatal("the fake kernel takes no packet")
		}
		raw = raw[n:]
		for {
			n, err := w.pass()
			if err != nil {
				h.t.Fatalf("pass: %v", err)
			}
			if n == 0 {
				break
			}
		}
	}
	h.check(queue)
	return k.Sent()
}

// check holds what must be true after every batch: each packet has one verdict, each
// that is forwarded counts for one backend and no other does, no frame is lost or kept,
// the rings were used properly.
func (h *harness) check(queue int) {
	h.t.Helper()
	w := h.engine.workers[queue]
	var sum uint64
	for _, n := range w.count.Verdicts {
		sum += n
	}
	if sum != w.count.Received {
		h.t.Errorf("verdicts %v sum up to %d, received %d", w.count.Verdicts, sum, w.count.Received)
	}
	var forwarded uint64
	for _, b := range w.count.Backends {
		forwarded += b.Packets[conntrack.Request] + b.Packets[conntrack.Reply]
	}
	if forwarded != w.count.Verdicts[packet.Forwarded] {
		h.t.Errorf("%d packets are counted for backends, %d as forwarded", forwarded, w.count.Verdicts[packet.Forwarded])
	}
	if w.count.Verdicts[packet.Pending] != 0 {
		h.t.Errorf("%d packets were counted as pending", w.count.Verdicts[packet.Pending])
	}
	a := w.socket.Account()
	if a.Held != 0 || a.Total() != w.socket.UMEM().Frames() {
		h.t.Errorf("frames after a batch: %+v of %d", a, w.socket.UMEM().Frames())
	}
	if n := w.socket.UMEM().Long(); n != 0 {
		h.t.Errorf("%d places of long packets are taken after a batch", n)
	}
	if err := h.kernels[queue].Err(); err != nil {
		h.t.Errorf("ring protocol: %v", err)
	}
}

// one delivers one frame and returns the one that comes out, decoded; its
// checksums are right.
func (h *harness) one(queue int, f packettest.Frame) packettest.Frame {
	h.t.Helper()
	sent := h.pass(queue, f)
	if len(sent) != 1 {
		h.t.Fatalf("%d packets came out for one from %v to %v; verdicts %v", len(sent), f.Src, f.Dst, h.verdicts(queue))
	}
	return packettest.Verify(h.t, sent[0])
}

// dropped delivers one frame and expects it to be dropped with the reason.
func (h *harness) dropped(queue int, f packettest.Frame, want packet.Verdict) {
	h.t.Helper()
	h.droppedRaw(queue, f.Bytes(), want)
}

func (h *harness) droppedRaw(queue int, b []byte, want packet.Verdict) {
	h.t.Helper()
	before := h.engine.workers[queue].count.Verdicts
	if sent := h.passRaw(queue, b); len(sent) != 0 {
		h.t.Fatalf("a packet came out, want %v", want)
	}
	after := h.engine.workers[queue].count.Verdicts
	before[want]++
	if before != after {
		h.t.Errorf("verdicts %v, want one more %v: %v", after, want, before)
	}
}

// exceeded delivers one frame, whose TTL or hop limit ends here, and expects that its
// sender is told, by the one that it is for.
func (h *harness) exceeded(f packettest.Frame) {
	h.t.Helper()
	out := h.one(0, f)
	want := [2]uint8{11, packet.ProtoICMP}
	if !f.Is4() {
		want = [2]uint8{3, packet.ProtoICMPv6}
	}
	if [2]uint8{out.Type, out.Proto} != want || out.Code != 0 || out.Src.Addr() != f.Dst.Addr() || out.Dst.Addr() != f.Src.Addr() || out.DstMAC != f.SrcMAC {
		h.t.Errorf("answer to the last hop of %v → %v: %+v", f.Src, f.Dst, out)
	}
}

// refused delivers one segment, and expects that its sender is told at once that there
// is no connection.
func (h *harness) refused(f packettest.Frame) {
	h.t.Helper()
	if out := h.one(0, f); out.Flags&packet.TCPRst == 0 || out.Src != f.Dst || out.Dst != f.Src || out.DstMAC != f.SrcMAC {
		h.t.Errorf("answer to flags %#x of %v → %v: %+v", f.Flags, f.Src, f.Dst, out)
	}
}

// verdicts names what a worker counted.
func (h *harness) verdicts(queue int) map[string]uint64 {
	m := map[string]uint64{}
	for v, n := range h.engine.workers[queue].count.Verdicts {
		if n > 0 {
			m[packet.Verdict(v).String()] = n
		}
	}
	return m
}

// service returns a spec with so many backends on port 8080 (nat) or the
// service's own (dsr), of the family of vip.
func service(name, vip string, mode balancer.Mode, backends int) balancer.ServiceSpec {
	at := netip.MustParseAddrPort(vip)
	s := balancer.ServiceSpec{
		Name: name, Address: at.Addr(), First: at.Port(), Last: at.Port(), Protocol: balancer.TCP, Mode: mode,
		Health: balancer.HealthSpec{Type: balancer.HealthNone},
	}
	if mode == balancer.GUE {
		s.GUE = balancer.GUESpec{Port: 6080, Variant: 1}
	}
	for i := range backends {
		b := balancer.BackendSpec{Name: string(rune('a' + i)), Weight: 1}
		if at.Addr().Is4() {
			b.Address = netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + i)})
		} else {
			b.Address = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0x10, 15: byte(0x11 + i)})
		}
		if mode == balancer.NAT {
			b.Port = 8080
		}
		s.Backends = append(s.Backends, b)
	}
	return s
}

// probed makes a service's backends depend on the facts' health.
func probed(s balancer.ServiceSpec) balancer.ServiceSpec {
	s.Health.Type = balancer.HealthTCP
	s.Health.Interval, s.Health.Timeout, s.Health.Rise, s.Health.Fall = 5e9, 2e9, 2, 3
	return s
}

// target returns where a frame that left for a backend of s went.
func target(t testing.TB, s *balancer.ServiceSpec, f packettest.Frame) string {
	t.Helper()
	i := slices.IndexFunc(s.Backends, func(b balancer.BackendSpec) bool { return backendMAC(b.Address) == f.DstMAC })
	if i < 0 {
		t.Fatalf("frame to %v left for %v, which is no backend", f.Dst, f.DstMAC)
	}
	return s.Backends[i].Name
}

// leaseOf returns one of a single port that has no program.
func leaseOf(sockets []*xsk.Socket) *lease {
	return &lease{ports: []*port{{sockets: sockets}}}
}

// busy has the first worker take SYNs of so many clients in turn, a few a batch, and orders
// between batches, until end is called.
func (h *harness) busy(clients, few int) (end func()) {
	w := h.engine.workers[0]
	stop := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		w.begin()
		defer w.cease()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if w.orders.Load() != nil {
				w.obey()
			}
			h.pass(0, syns(vip4, 1000+i%clients, few)...)
		}
	})
	return func() {
		close(stop)
		all.Wait()
	}
}
