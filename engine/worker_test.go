package engine

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func TestNAT(t *testing.T) {
	for name, c := range map[string]struct{ client, vip string }{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
		for _, proto := range []balancer.Protocol{balancer.TCP, balancer.UDP} {
			t.Run(fmt.Sprint(name, "/", proto), func(t *testing.T) {
				s := service("web", c.vip, balancer.NAT, 1)
				s.Protocol = proto
				h := newHarness(t, 1, s)
				in := packettest.TCP(c.client, c.vip, packet.TCPSyn)
				if proto == balancer.UDP {
					in = packettest.UDP(c.client, c.vip, "question")
				}
				backend := netip.AddrPortFrom(s.Backends[0].Address, 8080)

				want := in
				want.Dst, want.TTL = backend, in.TTL-1
				want.SrcMAC, want.DstMAC = gatewayMAC, backendMAC(backend.Addr())
				if d := packettest.Diff(h.one(0, in), want); d != "" {
					t.Errorf("request: %s", d)
				}

				reply := in
				reply.Src, reply.Dst = backend, in.Src
				reply.SrcMAC, reply.DstMAC = backendMAC(backend.Addr()), gatewayMAC
				if proto == balancer.TCP {
					reply.Flags = packet.TCPSyn | packet.TCPAck
				}
				want = reply
				want.Src, want.TTL = in.Dst, reply.TTL-1
				want.SrcMAC, want.DstMAC = gatewayMAC, in.SrcMAC
				if d := packettest.Diff(h.one(0, reply), want); d != "" {
					t.Errorf("reply: %s", d)
				}
				n := h.engine.workers[0].count.Backends[0]
				if n.Flows != 1 || n.Packets != [2]uint64{1, 1} {
					t.Errorf("backend counters %+v, want one flow and a packet each way", n)
				}
			})
		}
	}
}

func TestDSRChangesOnlyMACsAndTTL(t *testing.T) {
	for name, c := range map[string]struct{ client, vip string }{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
		t.Run(name, func(t *testing.T) {
			s := service("web", c.vip, balancer.DSR, 1)
			h := newHarness(t, 1, s)
			in := packettest.TCP(c.client, c.vip, packet.TCPSyn)
			want := in
			want.TTL--
			want.SrcMAC, want.DstMAC = gatewayMAC, backendMAC(s.Backends[0].Address)
			if d := packettest.Diff(h.one(0, in), want); d != "" {
				t.Error(d)
			}
		})
	}
}

// Replies reach the balancer on whatever queue their hash leads to.
func TestReplyOnAnotherQueue(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 3)
	h := newHarness(t, 2, s)
	for port := range 50 {
		in := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 40000+port), vip4, packet.TCPSyn)
		out := h.one(0, in)
		reply := packettest.TCP(out.Dst.String(), in.Src.String(), packet.TCPSyn|packet.TCPAck)
		for range 2 { // the second time from the worker's own cache
			back := h.one(1, reply)
			if back.Src != in.Dst || back.Dst != in.Src || back.DstMAC != in.SrcMAC {
				t.Fatalf("reply left as %v → %v (%v)", back.Src, back.Dst, back.DstMAC)
			}
		}
	}
	if n := h.engine.workers[1].count.Misses; n != 50 {
		t.Errorf("worker 1 took the slow path %d times for 50 flows", n)
	}
}

func TestAFlowKeepsItsBackend(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 5)
	h := newHarness(t, 2, s)
	first := map[string]string{}
	for round := range 4 {
		for port := range 40 {
			in := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 40000+port), vip4, packet.TCPAck)
			if round == 0 {
				in.Flags = packet.TCPSyn
			}
			got := target(t, &s, h.one((port+round)%2, in)) // queues change on the way
			if round == 0 {
				first[in.Src.String()] = got
			} else if first[in.Src.String()] != got {
				t.Fatalf("round %d: flow of %v moved from %s to %s", round, in.Src, first[in.Src.String()], got)
			}
		}
		h.apply() // a new generation with the same content
	}
}

func TestRoundRobinDiffersByOneAWorker(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 3)
	h := newHarness(t, 2, s)
	counts := map[string]int{}
	for port := range 101 {
		in := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 40000+port), vip4, packet.TCPSyn)
		counts[target(t, &s, h.one(port%2, in))]++
	}
	for a, n := range counts {
		for b, m := range counts {
			if n-m > 2 {
				t.Errorf("%s got %d flows, %s %d", a, n, b, m)
			}
		}
	}
}

// A batch may hold a flow's first packets together: the second must find what the
// first has decided a moment before.
func TestFirstPacketsInOneBatch(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 3)
	h := newHarness(t, 1, s)
	syn := packettest.TCP(client4, vip4, packet.TCPSyn)
	ack := packettest.TCP(client4, vip4, packet.TCPAck)
	sent := h.pass(0, syn, syn, ack)
	if len(sent) != 3 {
		t.Fatalf("%d packets came out", len(sent))
	}
	want := packettest.Verify(t, sent[0]).Dst
	for i, b := range sent {
		if got := packettest.Verify(t, b).Dst; got != want {
			t.Errorf("packet %d went to %v, the first to %v", i, got, want)
		}
	}
	if n := h.engine.flows.Stats().Inserted; n != 1 {
		t.Errorf("%d flows for one connection", n)
	}
}

func TestOrderIsKept(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 3))
	var frames []packettest.Frame
	for i := range 200 {
		f := packettest.TCP(fmt.Sprintf("198.51.100.%d:40000", i%7+1), vip4, packet.TCPAck)
		f.Seq = uint32(i)
		frames = append(frames, f)
	}
	for i, b := range h.pass(0, frames...) {
		if f := packettest.Verify(t, b); f.Seq != uint32(i) {
			t.Fatalf("packet %d came out at place %d", f.Seq, i)
		}
	}
}

func TestNewTableIsTakenAtTheNextBatch(t *testing.T) {
	s := probed(service("web", vip4, balancer.NAT, 2))
	h := newHarness(t, 1, s)
	h.setHealth("web", "a", balancer.StateUp)
	if got := target(t, &s, h.one(0, packettest.TCP("198.51.100.7:1", vip4, packet.TCPSyn))); got != "a" {
		t.Fatalf("went to %s while only a is up", got)
	}
	h.setHealth("web", "b", balancer.StateUp)
	h.setHealth("web", "a", balancer.StateDown)
	if got := target(t, &s, h.one(0, packettest.TCP("198.51.100.7:2", vip4, packet.TCPSyn))); got != "b" {
		t.Errorf("the batch after the change went to %s", got)
	}
	if got, want := h.engine.Oldest(), h.engine.table.Load().Generation; got != want {
		t.Errorf("oldest generation in use %d, want %d", got, want)
	}
}

func TestLiveConnectionsSeeTheClose(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 1)
	h := newHarness(t, 1, s)
	up := func(flags uint8) packettest.Frame { return h.one(0, packettest.TCP(client4, vip4, flags)) }
	out := up(packet.TCPSyn)
	down := func(flags uint8) { h.one(0, packettest.TCP(out.Dst.String(), client4, flags)) }
	down(packet.TCPSyn | packet.TCPAck)
	up(packet.TCPAck)
	if n := h.engine.config.Loads.Live(0); n != 1 {
		t.Fatalf("live connections %d, want 1", n)
	}
	up(packet.TCPFin | packet.TCPAck)
	down(packet.TCPFin | packet.TCPAck)
	up(packet.TCPAck)
	if n := h.engine.config.Loads.Live(0); n != 0 {
		t.Errorf("live connections %d after the close, want 0", n)
	}
	if s := h.engine.flows.Stats(); s.Flows[conntrack.TCPClosing] != 1 {
		t.Errorf("flows %v, want one that is closing", s.Flows)
	}
}

// A client may use its port again while the balancer still remembers the old
// connection: the new one is a new choice.
func TestPortReuse(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 2)
	h := newHarness(t, 1, s)
	first := target(t, &s, h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn)))
	rst := packettest.TCP(client4, vip4, packet.TCPRst)
	forged := rst
	forged.Seq += 1000
	h.one(0, forged)
	if again := target(t, &s, h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))); again != first {
		t.Errorf("a RST and a SYN that anybody could have sent moved the connection from %s to %s", first, again)
	}
	h.one(0, rst)
	second := target(t, &s, h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn)))
	if first == second {
		t.Errorf("round-robin chose %s twice: the old flow decided", first)
	}
	if st := h.engine.flows.Stats(); st.Total() != 1 {
		t.Errorf("%d flows, want 1", st.Total())
	}
}

// A flow's backend may be newer than the table of the batch: then the table is.
func TestBackendOfANewerTable(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 2)
	h := newHarness(t, 2, s)
	h.spec.Services = append(h.spec.Services, service("more", "192.0.2.20:80", balancer.NAT, 3))
	h.resolve(h.spec.Services[1])
	h.apply()
	w := h.engine.workers[1] // still in its old batch
	if n := len(w.table.Backends); n != 2 {
		t.Fatalf("%d backends in the old table", n)
	}
	for id, want := range map[uint32]uint32{1: 0, 4: 1} {
		if got := w.backend(id).Service; got != want {
			t.Errorf("backend %d is of service %d, want %d", id, got, want)
		}
	}
	if w.table != h.engine.table.Load() || len(w.count.Backends) != 5 {
		t.Errorf("generation %d with counters for %d backends", w.table.Generation, len(w.count.Backends))
	}
}

// An ID may go to another backend when no worker can take it for the old one any
// more: a worker that has read no table yet may still be about to read an old one.
func TestOldestCountsWorkersThatHaveReadNothing(t *testing.T) {
	h := newHarness(t, 2, service("web", vip4, balancer.NAT, 2))
	h.apply()
	h.engine.workers[0].adopt(h.engine.table.Load())
	h.engine.workers[1].generation.Store(0)
	h.spec.Services[0].Backends = h.spec.Services[0].Backends[:1] // b is gone
	h.facts.Oldest = h.engine.Oldest()
	h.apply()
	h.spec.Services = append(h.spec.Services, service("new", "192.0.2.20:80", balancer.NAT, 1))
	h.facts.Oldest = h.engine.Oldest()
	h.apply()
	if ref := h.engine.table.Load().Refs[1]; ref.Backend != "b" {
		t.Errorf("the ID of b went to %v while worker 0 may send packets to b by it", ref)
	}
}
