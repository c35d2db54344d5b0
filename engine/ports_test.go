package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk"
	"github.com/afxlb/afxlb/xsk/xsktest"
)

// innerMAC is the balancer's on the second interface.
var innerMAC = packet.MAC{2, 0, 0, 0, 9, 10}

// ports is a harness with two interfaces: clients are on the first, backends on the second.
type ports struct {
	*harness
	inner []*xsktest.Kernel // by worker, of the second
}

// newPorts returns one; apart: the sockets of the second have frames of their own.
func newPorts(t testing.TB, workers int, apart bool, services ...balancer.ServiceSpec) *ports {
	t.Helper()
	h := &ports{harness: newHarness(t, workers, services...)}
	h.cross(64, apart)
	return h
}

// cross adds the second interface, by which all backends are from then on.
func (h *ports) cross(ring uint32, apart bool) {
	h.t.Helper()
	for _, w := range h.engine.workers {
		w.several = true
	}
	h.engine.names = []string{"fake0", "fake1"}
	for _, k := range h.kernels {
		if apart {
			h.inner = append(h.inner, xsktest.New(4*ring, 2048, ring))
		} else {
			h.inner = append(h.inner, k.Share(ring))
		}
	}
	h.plug()
	h.facts.Ports = append(h.facts.Ports, balancer.Port{MAC: innerMAC, MTU: 1500})
	for a, hop := range h.facts.NextHops {
		hop.Link.Port = 1
		h.facts.NextHops[a] = hop
	}
	h.apply()
}

// plug gives the workers the sockets of both interfaces.
func (h *ports) plug() {
	l := leaseOf(socketsOf(h.kernels))
	l.ports = append(l.ports, &port{sockets: socketsOf(h.inner)})
	must(h.t, h.engine.hand(l))
}

func socketsOf(kernels []*xsktest.Kernel) (sockets []*xsk.Socket) {
	for _, k := range kernels {
		sockets = append(sockets, k.Socket())
	}
	return sockets
}

// by delivers frames by a port, has the worker handle them, and returns what has left by
// either.
func (h *ports) by(port, worker int, frames ...packettest.Frame) (outer, inner [][]byte) {
	h.t.Helper()
	k, w := []*xsktest.Kernel{h.kernels[worker], h.inner[worker]}[port], h.engine.workers[worker]
	for i := range frames {
		if !k.Deliver(frames[i].Bytes()) {
			h.t.Fatalf("packet %d was not taken", i)
		}
	}
	for {
		n, err := w.pass()
		if err != nil {
			h.t.Fatalf("pass: %v", err)
		}
		if n == 0 {
			break
		}
	}
	h.checkAll(worker)
	return h.kernels[worker].Sent(), h.inner[worker].Sent()
}

// checkAll is check for all frames of a worker.
func (h *ports) checkAll(worker int) {
	h.t.Helper()
	w := h.engine.workers[worker]
	var sum, forwarded, left, sent uint64
	for v, n := range w.count.Verdicts {
		sum += n
		if packet.Verdict(v).Leaves() {
			left += n
		}
	}
	for _, b := range w.count.Backends {
		forwarded += b.Packets[conntrack.Request] + b.Packets[conntrack.Reply]
	}
	for _, p := range w.count.Ports {
		sent += p.Sent
	}
	if sum != w.count.Received || forwarded != w.count.Verdicts[packet.Forwarded] || sent != left {
		h.t.Errorf("received %d, verdicts %d; forwarded %d, by backends %d; to leave %d, sent %d",
			w.count.Received, sum, w.count.Verdicts[packet.Forwarded], forwarded, left, sent)
	}
	if w.across.some || w.across.egress != [batchSize]uint8{} {
		h.t.Error("something is left of a batch for the next one")
	}
	for _, k := range []*xsktest.Kernel{h.kernels[worker], h.inner[worker]} {
		if a := k.Socket().Account(); a.Held != 0 || a.Total() != k.Socket().UMEM().Frames() {
			h.t.Errorf("frames after a batch: %+v of %d", a, k.Socket().UMEM().Frames())
		}
		if err := k.Err(); err != nil {
			h.t.Errorf("ring protocol: %v", err)
		}
	}
}

// only returns the one packet that has left, by the port where it should.
func only(t *testing.T, wanted, other [][]byte) packettest.Frame {
	t.Helper()
	if len(wanted) != 1 || len(other) != 0 {
		t.Fatalf("%d packets left where one should, %d elsewhere", len(wanted), len(other))
	}
	return packettest.Verify(t, wanted[0])
}

// Requests go from one interface to the other and replies back, with the MAC addresses of
// where they are, whether the frames are shared or not; and each port counts what is its.
func TestAcrossPorts(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		for family, ends := range map[string][2]string{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
			for _, apart := range []bool{false, true} {
				t.Run(fmt.Sprint(mode, family, " apart ", apart), func(t *testing.T) {
					s := service("web", ends[1], mode, 1)
					h := newPorts(t, 1, apart, s)
					a := s.Backends[0].Address
					const rounds = 300 // more than there are frames
					for n := range rounds {
						in := packettest.TCP(ends[0], ends[1], packet.TCPAck)
						if n == 0 {
							in.Flags = packet.TCPSyn
						}
						outer, inner := h.by(0, 0, in)
						want := in
						want.TTL, want.SrcMAC, want.DstMAC = in.TTL-1, innerMAC, backendMAC(a)
						if mode == balancer.NAT {
							want.Dst = netip.AddrPortFrom(a, 8080)
						}
						got := only(t, inner, outer)
						if d := packettest.Diff(got, want); d != "" {
							t.Fatalf("request %d: %s", n, d)
						}
						if mode == balancer.DSR {
							continue
						}
						reply := got
						reply.Src, reply.Dst, reply.SrcMAC, reply.DstMAC = got.Dst, got.Src, got.DstMAC, got.SrcMAC
						outer, inner = h.by(1, 0, reply)
						want = reply
						want.Src, want.TTL, want.SrcMAC, want.DstMAC = in.Dst, reply.TTL-1, gatewayMAC, in.SrcMAC
						if d := packettest.Diff(only(t, outer, inner), want); d != "" {
							t.Fatalf("reply %d: %s", n, d)
						}
					}
					copied, replies := uint64(0), uint64(rounds)
					if apart {
						copied = rounds
					}
					if mode == balancer.DSR {
						replies = 0
					}
					w := h.engine.workers[0]
					want := [2]PortCounters{{rounds, replies, min(copied, replies)}, {replies, rounds, copied}}
					if got := [2]PortCounters(w.count.Ports[:2]); got != want {
						t.Errorf("ports %+v, want %+v", got, want)
					}
				})
			}
		}
	}
}

// removeInner has the second interface go, and the workers close their sockets there.
func (h *ports) removeInner() {
	for _, k := range h.inner {
		k.Remove()
	}
	for _, w := range h.engine.workers {
		must(h.t, w.bereave(xsk.ErrGone))
	}
}

// A batch whose packets leave by both ports, or not at all, is one batch: each goes where it
// should, in order.
func TestBatchToBothPorts(t *testing.T) {
	near, far := service("near", vip4, balancer.DSR, 1), service("far", "192.0.2.11:80", balancer.DSR, 1)
	far.Backends[0].Address = netip.MustParseAddr("10.9.9.9")
	h := newPorts(t, 1, false, near, far)
	hop := h.facts.NextHops[near.Backends[0].Address]
	hop.Link.Port = 0
	h.facts.NextHops[near.Backends[0].Address] = hop
	h.apply()
	var frames []packettest.Frame
	for i := range 48 {
		to := []string{vip4, "192.0.2.11:80", "192.0.2.12:80"}[i%3]
		frames = append(frames, packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 1000+i), to, packet.TCPSyn))
	}
	outer, inner := h.by(0, 0, frames...)
	if len(outer) != 16 || len(inner) != 16 {
		t.Fatalf("%d left by the first, %d by the second", len(outer), len(inner))
	}
	for n := range 16 {
		a, b := packettest.Verify(t, outer[n]), packettest.Verify(t, inner[n])
		if int(a.Src.Port()) != 1000+3*n || int(b.Src.Port()) != 1001+3*n || a.SrcMAC != gatewayMAC || b.SrcMAC != innerMAC {
			t.Errorf("packet %d: of %v by the first, of %v by the second", n, a.Src, b.Src)
		}
	}
}

// What does not fit on the other port's ring, or finds no frame to be copied to, or is to
// leave by a port that is away, is dropped with its reason; and what fits leaves.
func TestAcrossWithoutRoom(t *testing.T) {
	const n = 64
	for name, c := range map[string]struct {
		apart   bool
		trouble func(h *ports)
		left    int
		dropped packet.Verdict
	}{
		"ring full":        {false, func(h *ports) { h.inner[0].Answer(unix.ENOBUFS, unix.ENOBUFS, unix.ENOBUFS, unix.ENOBUFS) }, 0, packet.DropTxFull},
		"link down":        {false, func(h *ports) { h.inner[0].SetDown(true) }, 0, packet.DropLinkDown},
		"apart, no frames": {true, func(h *ports) { h.inner[0].Socket().Allocate(make([]xsk.Desc, 256-64-10)) }, 10, packet.DropTxFull},
		"away":             {false, func(h *ports) { h.inner = nil; h.plug() }, 0, packet.DropLinkDown},
		"gone":             {false, func(h *ports) { h.removeInner() }, 0, packet.DropLinkDown},
		"apart, gone":      {true, func(h *ports) { h.removeInner() }, 0, packet.DropLinkDown},
	} {
		t.Run(name, func(t *testing.T) {
			h := newPorts(t, 1, c.apart, service("web", vip4, balancer.NAT, 2))
			inner := h.inner[0]
			w := h.engine.workers[0]
			pass := func(first int) {
				for i := range n {
					f := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 1000+first+i), vip4, packet.TCPSyn)
					if !h.kernels[0].Deliver(f.Bytes()) {
						t.Fatal("not taken")
					}
				}
				if got, err := w.pass(); got != n || err != nil && !errors.Is(err, xsk.ErrLinkDown) {
					t.Fatalf("pass: %d packets, %v", got, err)
				}
			}
			c.trouble(h)
			pass(0)
			if name == "ring full" || name == "link down" { // the first ones are on the ring, which is full now
				pass(n)
			}
			got := h.verdicts(0)
			if sent := len(inner.Sent()); got[c.dropped.String()] != uint64(n-c.left) || sent != c.left {
				t.Errorf("%d sent, verdicts %v, want %d %v", sent, got, n-c.left, c.dropped)
			}
			var forwarded uint64
			for _, b := range w.count.Backends {
				forwarded += b.Packets[conntrack.Request]
			}
			if forwarded != got["forwarded"] {
				t.Errorf("%d counted for backends, %d as forwarded", forwarded, got["forwarded"])
			}
		})
	}
}

// Each port has its turn, however busy another one is.
func TestPortsTakeTurns(t *testing.T) {
	h := newPorts(t, 1, false, service("web", vip4, balancer.NAT, 1))
	w := h.engine.workers[0]
	burst := func(k *xsktest.Kernel) {
		for i := range 10 {
			f := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 1000+i), "192.0.2.77:80", packet.TCPSyn)
			if !k.Deliver(f.Bytes()) {
				t.Fatal("not taken")
			}
		}
	}
	burst(h.kernels[0])
	burst(h.inner[0])
	for range 3 {
		if n, err := w.pass(); n != 10 || err != nil {
			t.Fatalf("%d packets, %v", n, err)
		}
		burst([]*xsktest.Kernel{h.kernels[0], h.inner[0]}[w.port])
	}
	if a, b := w.count.Ports[0].Received, w.count.Ports[1].Received; a+b != 30 || a < 10 || b < 10 {
		t.Errorf("%d received by one, %d by the other", a, b)
	}
}

// Crossing allocates nothing, whether by sharing frames or by a copy.
func TestAcrossAllocatesNothing(t *testing.T) {
	for _, apart := range []bool{false, true} {
		h := newPorts(t, 1, apart, service("web", vip4, balancer.NAT, 1))
		h.inner[0].Record(false)
		w, f := h.engine.workers[0], packettest.TCP(client4, vip4, packet.TCPSyn)
		raw := f.Bytes()
		n := testing.AllocsPerRun(200, func() {
			h.kernels[0].Deliver(raw)
			if _, err := w.pass(); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("apart %v: %v allocations", apart, n)
		}
		h.checkAll(0)
	}
}

// A port that goes while workers run is nobody's end: the other one goes on, and what comes
// in its place is served, by workers that sleep as by such that are busy.
func TestPortGoesWhileOthersWork(t *testing.T) {
	for _, busy := range []bool{false, true} {
		h := newPorts(t, 2, false, service("web", vip4, balancer.DSR, 1))
		r := &running{harness: h.harness}
		for _, w := range h.engine.workers {
			w.cpu, w.busy = -1, busy
		}
		r.start()
		number := 0
		send := func(k *xsktest.Kernel, worker int) {
			t.Helper()
			number++
			f := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 1000+number), vip4, packet.TCPSyn)
			want := h.inner[worker].SentCount() + 1
			eventually(t, "room", func() bool { return k.Deliver(f.Bytes()) })
			eventually(t, "the packet's departure", func() bool { return h.inner[worker].SentCount() == want })
		}
		for range 3 {
			for worker := range 2 {
				send(h.kernels[worker], worker)
				h.kernels[worker].Remove()
				send(h.inner[worker], worker)
				h.kernels[worker] = h.inner[worker].Share(64)
			}
			h.plug() // returns when both have it
			for worker := range 2 {
				send(h.kernels[worker], worker)
			}
		}
		r.stop()
		must(t, r.end())
		for worker := range 2 {
			h.checkAll(worker)
		}
		must(t, h.engine.hand(nil))
		for _, k := range append(h.kernels, h.inner...) {
			if k.Socket().FD() != -1 || k.Socket().UMEM().Frames() != 0 {
				t.Error("a socket is left, or its frames")
			}
		}
	}
}

// BenchmarkAcross is BenchmarkKnownFlows for packets that leave by another port than they
// came by, with frames that both share or by a copy.
func BenchmarkAcross(b *testing.B) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		for _, apart := range []bool{false, true} {
			b.Run(fmt.Sprint(mode, "/apart=", apart), func(b *testing.B) {
				l := newLoad(b, mode, vip4, 1000)
				h := &ports{harness: l.harness}
				h.cross(2*batchSize, apart)
				h.inner[0].Record(false)
				b.ReportAllocs()
				b.ResetTimer()
				for b.Loop() {
					l.batch()
				}
				perPacket(b)
			})
		}
	}
}
