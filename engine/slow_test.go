package engine

import (
	"fmt"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

func TestDropReasons(t *testing.T) {
	nat := service("nat", vip4, balancer.NAT, 1)
	empty := service("empty", "192.0.2.11:80", balancer.NAT, 0)
	empty.OnNoBackend = balancer.DropSilently
	noMAC := service("no-mac", "192.0.2.12:80", balancer.NAT, 1)
	noMAC.Backends[0].Address = noMAC.Backends[0].Address.Next().Next().Next()
	dsr := service("dsr", "192.0.2.13:80", balancer.DSR, 1)
	dsr.Backends[0].Address = noMAC.Backends[0].Address
	h := newHarness(t, 1, nat, empty, noMAC, dsr)
	delete(h.facts.NextHops, noMAC.Backends[0].Address)
	h.apply()

	syn := packettest.TCP(client4, vip4, packet.TCPSyn)
	whole := syn.Bytes()
	h.droppedRaw(0, whole[:13], packet.DropTruncated)
	h.droppedRaw(0, whole[:40], packet.DropTruncated)
	bad := syn.Bytes()
	bad[14] = 0x43 // header length of 12 bytes
	h.droppedRaw(0, bad, packet.DropMalformed)
	arp := syn.Bytes()
	arp[12], arp[13] = 0x08, 0x06
	h.droppedRaw(0, arp, packet.DropNotIP)
	sctp := syn.Bytes()
	sctp[23] = 132
	h.droppedRaw(0, sctp, packet.DropProtocol)
	fragment := packettest.TCP(client4, "192.0.2.99:80", packet.TCPSyn).Bytes()
	fragment[20] |= 0x20
	h.droppedRaw(0, fragment, packet.DropFragment)
	icmp := packettest.Echo("198.51.100.7", "192.0.2.10", 1)
	icmp.Type = 3
	h.dropped(0, icmp, packet.DropICMP)

	h.dropped(0, packettest.TCP(client4, "192.0.2.10:81", packet.TCPSyn), packet.DropNoService)
	h.dropped(0, packettest.UDP(client4, vip4, "tcp only"), packet.DropNoService)
	h.dropped(0, packettest.Echo("198.51.100.7", "192.0.2.99", 1), packet.DropNoService)
	h.dropped(0, packettest.TCP("10.0.0.11:8080", client4, packet.TCPRst), packet.DropNoFlow)
	h.dropped(0, packettest.TCP("10.0.0.99:8080", client4, packet.TCPAck), packet.DropNoFlow)
	h.dropped(0, packettest.TCP(client4, vip4, packet.TCPRst), packet.DropNoFlow)
	h.dropped(0, packettest.TCP(client4, vip4, packet.TCPSyn|packet.TCPAck), packet.DropNoFlow)
	h.dropped(0, packettest.TCP(client4, "192.0.2.11:80", packet.TCPSyn), packet.DropNoBackend)
	h.dropped(0, packettest.TCP(client4, "192.0.2.12:80", packet.TCPSyn), packet.DropWarming)
	h.dropped(0, packettest.TCP(client4, "192.0.2.12:80", packet.TCPAck), packet.DropNoNeighbour)
	h.dropped(0, packettest.TCP(client4, "192.0.2.13:80", packet.TCPAck), packet.DropNoNeighbour)
	for _, ttl := range []uint8{0, 1} {
		expired := syn
		expired.TTL = ttl
		h.exceeded(expired)
		damaged := expired.Bytes()
		damaged[50] ^= 1 // the TCP checksum: nobody would take the answer to that
		h.droppedRaw(0, damaged, packet.DropTTL)
	}
	if s := h.engine.flows.Stats(); s.Inserted != 0 {
		t.Errorf("packets that did not leave made %d flows", s.Inserted)
	}
}

func TestNeighbourLearnedLater(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 1)
	h := newHarness(t, 1, s)
	delete(h.facts.NextHops, s.Backends[0].Address)
	h.apply()
	h.dropped(0, packettest.TCP(client4, vip4, packet.TCPAck), packet.DropNoNeighbour)
	h.resolve(s)
	h.apply()
	if out := h.one(0, packettest.TCP(client4, vip4, packet.TCPAck)); out.DstMAC != backendMAC(s.Backends[0].Address) {
		t.Errorf("left for %v, want %v", out.DstMAC, backendMAC(s.Backends[0].Address))
	}
	if n := h.engine.flows.Stats().Inserted; n != 1 {
		t.Errorf("one connection made %d flows", n)
	}
}

// Every balancer with the same config must pick the same backend for a packet in
// mid-stream, whatever its algorithm and its history.
func TestMidStreamGoesByTheConsistentHash(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 7)
	one, two := newHarness(t, 1, s), newHarness(t, 1, s)
	for port := range 5 { // one has a history
		one.one(0, packettest.TCP(fmt.Sprintf("198.51.100.9:%d", 1000+port), vip4, packet.TCPSyn))
	}
	seen := map[string]bool{}
	for port := range 100 {
		f := packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 40000+port), vip4, packet.TCPAck)
		a, b := target(t, &s, one.one(0, f)), target(t, &s, two.one(0, f))
		if a != b {
			t.Fatalf("port %d: one balancer picks %s, the other %s", port, a, b)
		}
		seen[a] = true
	}
	if len(seen) != 7 {
		t.Errorf("the hash uses %d of 7 backends", len(seen))
	}
}

func TestOnDown(t *testing.T) {
	setup := func(t *testing.T, onDown balancer.OnDown) (*harness, *balancer.ServiceSpec, packettest.Frame) {
		s := probed(service("web", vip4, balancer.NAT, 2))
		s.OnDown = onDown
		h := newHarness(t, 1, s)
		h.setHealth("web", "a", balancer.StateUp)
		out := h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
		h.one(0, packettest.TCP(out.Dst.String(), client4, packet.TCPSyn|packet.TCPAck))
		h.setHealth("web", "b", balancer.StateUp)
		h.setHealth("web", "a", balancer.StateDown)
		return h, &s, packettest.TCP(client4, vip4, packet.TCPAck)
	}
	t.Run("reassign", func(t *testing.T) {
		h, s, f := setup(t, balancer.Reassign)
		if got := target(t, s, h.one(0, f)); got != "b" {
			t.Errorf("went to %s", got)
		}
		h.setHealth("web", "a", balancer.StateUp)
		if got := target(t, s, h.one(0, f)); got != "b" {
			t.Errorf("moved again, to %s, when the old backend returned", got)
		}
	})
	t.Run("reassign, but nobody is left", func(t *testing.T) {
		h, s, f := setup(t, balancer.Reassign)
		h.setHealth("web", "b", balancer.StateDown)
		if got := target(t, s, h.one(0, f)); got != "a" {
			t.Errorf("went to %s", got)
		}
		f.Src, f.Flags = packettest.TCP("198.51.100.7:41000", vip4, 0).Src, packet.TCPSyn
		if out := h.one(0, f); out.Flags&packet.TCPRst == 0 {
			t.Errorf("a new flow was not refused: %+v", out)
		}
	})
	t.Run("keep", func(t *testing.T) {
		h, s, f := setup(t, balancer.Keep)
		if got := target(t, s, h.one(0, f)); got != "a" {
			t.Errorf("went to %s", got)
		}
		f.Src = packettest.TCP("198.51.100.7:41000", vip4, 0).Src
		f.Flags = packet.TCPSyn
		if got := target(t, s, h.one(0, f)); got != "b" {
			t.Errorf("a new flow went to %s", got)
		}
	})
	t.Run("reset", func(t *testing.T) {
		h, _, f := setup(t, balancer.Reset)
		out := h.one(0, f)
		if out.Flags&packet.TCPRst == 0 || out.Dst != f.Src || out.Src != f.Dst {
			t.Errorf("the client got %v → %v flags %#x, want a RST", out.Src, out.Dst, out.Flags)
		}
		if n := h.engine.flows.Stats().Total(); n != 0 {
			t.Errorf("%d flows are left", n)
		}
	})
	t.Run("backend removed", func(t *testing.T) {
		h, s, f := setup(t, balancer.Keep)
		h.spec.Services[0].Backends = h.spec.Services[0].Backends[1:]
		h.apply()
		if got := target(t, s, h.one(0, f)); got != "b" {
			t.Errorf("went to %s", got)
		}
	})
	t.Run("service removed", func(t *testing.T) {
		h, _, f := setup(t, balancer.Keep)
		h.spec.Services = nil
		h.apply()
		h.dropped(0, f, packet.DropNoFlow)
		if n := h.engine.flows.Stats().Total(); n != 0 {
			t.Errorf("%d flows are left", n)
		}
	})
}

// Two services share a backend; a client uses one port for both.
func TestTupleClash(t *testing.T) {
	other := "192.0.2.10:81"
	t.Run("settled by another backend", func(t *testing.T) {
		a, b := service("a", vip4, balancer.NAT, 2), service("b", other, balancer.NAT, 2)
		h := newHarness(t, 1, a, b)
		for _, vip := range []string{vip4, other} {
			out := h.one(0, packettest.TCP(client4, vip, packet.TCPSyn))
			back := h.one(0, packettest.TCP(out.Dst.String(), client4, packet.TCPSyn|packet.TCPAck))
			if back.Src.String() != vip {
				t.Errorf("the reply of %v came from %v", vip, back.Src)
			}
		}
	})
	t.Run("refused without another", func(t *testing.T) {
		h := newHarness(t, 1, service("a", vip4, balancer.NAT, 1), service("b", other, balancer.NAT, 1))
		h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
		h.refused(packettest.TCP(client4, other, packet.TCPSyn))
		h.refused(packettest.TCP(client4, other, packet.TCPAck))
		if n := h.engine.flows.Stats().Clashes; n != 2 {
			t.Errorf("%d clashes are counted", n)
		}
	})
	t.Run("UDP", func(t *testing.T) {
		a, b := service("a", vip4, balancer.NAT, 1), service("b", other, balancer.NAT, 1)
		a.Protocol, b.Protocol = balancer.UDP, balancer.UDP
		h := newHarness(t, 1, a, b)
		h.one(0, packettest.UDP(client4, vip4, "x"))
		if out := h.one(0, packettest.UDP(client4, other, "x")); out.Proto != packet.ProtoICMP || out.Type != 3 || out.Code != 3 {
			t.Errorf("the client got %+v", out)
		}
	})
	t.Run("in silence, if the service says so", func(t *testing.T) {
		b := service("b", other, balancer.NAT, 1)
		b.OnNoBackend = balancer.DropSilently
		h := newHarness(t, 1, service("a", vip4, balancer.NAT, 1), b)
		h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
		h.dropped(0, packettest.TCP(client4, other, packet.TCPSyn), packet.DropTupleClash)
	})
}

func TestPortRange(t *testing.T) {
	s := service("range", "192.0.2.10:8000", balancer.NAT, 1)
	s.Last, s.Backends[0].Port = 8099, 0
	h := newHarness(t, 1, s)
	in := packettest.TCP(client4, "192.0.2.10:8042", packet.TCPSyn)
	out := h.one(0, in)
	if out.Dst.Port() != 8042 {
		t.Errorf("port became %d, want it kept", out.Dst.Port())
	}
	back := h.one(0, packettest.TCP(out.Dst.String(), client4, packet.TCPSyn|packet.TCPAck))
	if back.Src != in.Dst {
		t.Errorf("the reply came from %v, want %v", back.Src, in.Dst)
	}
	h.dropped(0, packettest.TCP(client4, "192.0.2.10:8100", packet.TCPSyn), packet.DropNoService)
}

// A flow that another worker has made in the same moment is by that one's table: where its
// backend is may be news.
func TestJoinTakesTheNewestTable(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 1)
	h := newHarness(t, 2, s)
	moved := packet.MAC{2, 0xbe, 0, 0, 9, 9}
	h.facts.NextHops[s.Backends[0].Address] = balancer.NextHop{MAC: moved, OnLink: true}
	h.apply()
	syn := packettest.TCP(client4, vip4, packet.TCPSyn)
	h.one(0, syn)
	// The other worker has looked for the flow before it was there, and is in a batch still.
	w := h.engine.workers[1]
	h.kernels[1].Deliver(syn.Bytes())
	n := w.receive()
	w.parse(0, n)
	r, ok := w.flows.Find(&w.packets[0].Key, conntrack.Request)
	if n != 1 || !ok {
		t.Fatalf("%d packets, flow %v", n, ok)
	}
	if v := w.join(0, r); v != packet.Forwarded || packet.DestinationMAC(w.frames[0]) != moved {
		t.Errorf("%v, to %v, want %v", v, packet.DestinationMAC(w.frames[0]), moved)
	}
}
