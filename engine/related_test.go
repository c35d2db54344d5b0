package engine

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// relation is a flow of the tests of ICMP errors, and routers on both sides of it.
type relation struct {
	request, reply   packettest.Frame // as they come
	toBackend, toVIP packettest.Frame // the same as they leave
	routers          [2]string        // of the client's side, of the backend's side
	mac              [2]packet.MAC    // who they come from, by side
}

// relate opens a flow, by TCP or UDP, and returns what it consists of.
func relate(h *harness, ends [2]string, udp bool) relation {
	h.t.Helper()
	e := relation{routers: [2]string{"203.0.113.1", "10.9.9.9"}}
	if e.request = packettest.TCP(ends[0], ends[1], packet.TCPSyn); udp {
		e.request = packettest.UDP(ends[0], ends[1], "question")
	}
	if !e.request.Is4() {
		e.routers = [2]string{"2001:db8:77::1", "2001:db8:99::9"}
	}
	e.toBackend = h.one(0, e.request)
	e.reply = e.toBackend
	e.reply.Src, e.reply.Dst, e.reply.SrcMAC, e.reply.DstMAC = e.toBackend.Dst, e.toBackend.Src, e.toBackend.DstMAC, gatewayMAC
	if e.reply.Flags != 0 {
		e.reply.Flags |= packet.TCPAck
		e.reply.Ack = 0x01020305
	}
	if e.toVIP = e.reply; e.reply.Src != e.request.Dst {
		e.toVIP = h.one(0, e.reply)
	}
	e.mac = [2]packet.MAC{e.request.SrcMAC, e.reply.SrcMAC}
	return e
}

// about is an error from somebody about f.
func about(f packettest.Frame, from string, mac packet.MAC, quoted int) packettest.Frame {
	kind := uint8(3)
	if !f.Is4() {
		kind = 1
	}
	e := icmpError(from, f.Src.Addr().String(), kind, f)
	e.Payload = e.Payload[:min(quoted, len(e.Payload))]
	e.SrcMAC, e.DstMAC, e.TTL = mac, gatewayMAC, 61
	return e
}

// relations calls test with a flow of each mode, family and protocol.
func relations(t *testing.T, test func(t *testing.T, h *harness, mode balancer.Mode, ends [2]string, udp bool)) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.FullNAT, balancer.DSR} {
		for name, ends := range map[string][2]string{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
			for _, udp := range []bool{false, true} {
				t.Run(fmt.Sprint(mode, name, "udp ", udp), func(t *testing.T) {
					s := service("web", ends[1], mode, 3)
					if mode == balancer.FullNAT {
						s = fullnatService("web", ends[1], 3, 100)
					}
					if udp {
						s.Protocol = balancer.UDP
					}
					test(t, newHarness(t, 1, s), mode, ends, udp)
				})
			}
		}
	}
}

// An error about a flow reaches the end that sent the packet, which is quoted as that end
// has sent it: whoever the error comes from, and however much it quotes.
func TestRelated(t *testing.T) {
	relations(t, func(t *testing.T, h *harness, mode balancer.Mode, ends [2]string, udp bool) {
		e := relate(h, ends, udp)
		header := 28
		if !e.request.Is4() {
			header = 48
		}
		for _, quoted := range []int{header, header + 10, header + 12, 1200} {
			for _, from := range []string{e.request.Src.Addr().String(), e.routers[0]} {
				in := about(e.toVIP, from, e.mac[0], quoted)
				want := about(e.reply, from, gatewayMAC, quoted)
				want.DstMAC, want.TTL = e.mac[1], in.TTL-1
				want.Payload = quoteOf(e.reply, e.toVIP.TTL, quoted) // as the client has it, but for the addresses
				if mode == balancer.FullNAT {                        // the backend knows nobody beyond
					want.Src = netip.AddrPortFrom(e.reply.Dst.Addr(), 0)
				}
				if d := packettest.Diff(h.one(0, in), want); d != "" {
					t.Errorf("%d bytes from %s: %s", quoted, from, d)
				}
			}
			if mode == balancer.DSR {
				continue // the backend answers the client without the balancer
			}
			for _, from := range []string{e.reply.Src.Addr().String(), e.routers[1]} {
				in := about(e.toBackend, from, e.mac[1], quoted)
				want := about(e.request, e.request.Dst.Addr().String(), gatewayMAC, quoted)
				want.DstMAC, want.TTL = e.mac[0], in.TTL-1
				want.Payload = quoteOf(e.request, e.toBackend.TTL, quoted)
				if d := packettest.Diff(h.one(0, in), want); d != "" {
					t.Errorf("%d bytes from %s: %s", quoted, from, d)
				}
			}
		}
	})
}

// quoteOf returns so many bytes of what f is when it has ttl hops to go.
func quoteOf(f packettest.Frame, ttl uint8, n int) []byte {
	f.TTL = ttl
	b := f.Bytes()[14:]
	return b[:min(n, len(b))]
}

// A dsr backend says itself, with the service's address, what is wrong with a request. If
// the balancer is its router, that goes its way.
func TestRelatedToADirectRequest(t *testing.T) {
	relations(t, func(t *testing.T, h *harness, mode balancer.Mode, ends [2]string, udp bool) {
		e := relate(h, ends, udp)
		in := about(e.toBackend, e.request.Dst.Addr().String(), e.mac[1], 1200)
		if mode != balancer.DSR { // a router's in front of the balancer, which does not come this way
			h.dropped(0, about(e.request, e.routers[0], e.mac[0], 1200), packet.DropICMP)
			return
		}
		want := in
		want.SrcMAC, want.DstMAC, want.TTL = gatewayMAC, e.mac[0], in.TTL-1
		if d := packettest.Diff(h.one(0, in), want); d != "" {
			t.Error(d)
		}
		in.SrcMAC = e.mac[0]
		h.dropped(0, in, packet.DropLoop)
	})
}

// An error that cannot be about a flow, or not for whom it is sent to, goes nowhere; nor is
// one answered.
func TestUnrelated(t *testing.T) {
	relations(t, func(t *testing.T, h *harness, mode balancer.Mode, ends [2]string, udp bool) {
		e := relate(h, ends, udp)
		other := e.toVIP
		other.Dst = netip.AddrPortFrom(other.Dst.Addr(), other.Dst.Port()+1)
		h.dropped(0, about(other, e.routers[0], e.mac[0], 1200), packet.DropICMP)
		other.Proto, other.Payload = packet.ProtoUDP, []byte("x")
		if udp {
			other.Proto, other.Flags = packet.ProtoTCP, packet.TCPAck
		}
		other.Dst = e.toVIP.Dst
		h.dropped(0, about(other, e.routers[0], e.mac[0], 1200), packet.DropICMP)
		misled := about(e.toVIP, e.routers[0], e.mac[0], 1200)
		misled.Dst = netip.AddrPortFrom(misled.Dst.Addr().Next(), 0)
		h.dropped(0, misled, packet.DropICMP)
		cut := about(e.toVIP, e.routers[0], e.mac[0], 1200)
		header := 27
		if !cut.Is4() {
			header = 47
		}
		cut.Payload = cut.Payload[:header]
		h.dropped(0, cut, packet.DropICMP)
		last := about(e.toVIP, e.routers[0], e.mac[0], 1200)
		last.TTL = 1
		h.dropped(0, last, packet.DropTTL)
	})
}

// Whoever makes an error up changes nothing of the flow, and does not keep it alive.
func TestRelatedChangesNothing(t *testing.T) {
	relations(t, func(t *testing.T, h *harness, mode balancer.Mode, ends [2]string, udp bool) {
		e := relate(h, ends, udp)
		w := h.engine.workers[0]
		before := h.flowInfo()
		for now := w.clock.Now(); w.clock.Now() < now+3; { // the coarse clock is the event
		}
		in := about(e.toVIP, e.routers[0], packet.MAC{2, 6, 6, 6, 6, 6}, 1200)
		n := uint64(len(in.Bytes()))
		h.one(0, in)
		after := h.flowInfo()
		d := conntrack.Request
		if got := [2]uint64{after.Packets[d] - before.Packets[d], after.Bytes[d] - before.Bytes[d]}; got != [2]uint64{1, n} {
			t.Errorf("counted as %d packets and bytes", got)
		}
		after.Packets, after.Bytes = before.Packets, before.Bytes
		if after != before {
			t.Errorf("the flow was\n%+v, and is\n%+v", before, after)
		}
	})
}

// flowInfo returns the one flow that there is, as at one and the same time.
func (h *harness) flowInfo() (in conntrack.Info) {
	h.t.Helper()
	n := 0
	h.engine.flows.Range(1<<20, func(i conntrack.Info) bool { in = i; n++; return true })
	if n != 1 {
		h.t.Fatalf("%d flows", n)
	}
	return in
}

// Where all balancers choose alike, an error about a flow that another one knows reaches its
// backend, too; where they don't, nobody is guessed at.
func TestRelatedToAnothersFlow(t *testing.T) {
	for _, mode := range []balancer.Mode{balancer.NAT, balancer.DSR} {
		for _, algorithm := range []balancer.Algorithm{balancer.Maglev, balancer.SourceHash, balancer.RoundRobin, balancer.LeastConn} {
			for name, ends := range map[string][2]string{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
				t.Run(fmt.Sprint(mode, algorithm, name), func(t *testing.T) {
					s := service("web", ends[1], mode, 3)
					s.Algorithm = algorithm
					here, there := newHarness(t, 1, s), newHarness(t, 1, s)
					e := relate(here, ends, false)
					in := about(e.toVIP, e.routers[0], e.mac[0], 1200)
					if !algorithm.Hashes() {
						there.dropped(0, in, packet.DropICMP)
						return
					}
					want := here.one(0, in)
					if d := packettest.Diff(there.one(0, in), want); d != "" {
						t.Error(d)
					}
					if n := there.engine.flows.Stats().Inserted; n != 0 {
						t.Errorf("it made %d flows", n)
					}
					there.fill(in)
				})
			}
		}
	}
}

// What does not leave after all is not counted for a backend.
func TestRelatedOnAFullRing(t *testing.T) {
	h := newHarness(t, 1, service("web", vip4, balancer.NAT, 1))
	e := relate(h, [2]string{client4, vip4}, false)
	h.fill(about(e.toVIP, e.routers[0], e.mac[0], 1200))
}

// fill delivers frames like f until the TX ring has no room for more.
func (h *harness) fill(f packettest.Frame) {
	h.t.Helper()
	w, k, b := h.engine.workers[0], h.kernels[0], f.Bytes()
	k.Answer(unix.ENOBUFS, unix.ENOBUFS, unix.ENOBUFS, unix.ENOBUFS)
	for range 2 {
		w.socket.Recycle()
		for range 64 {
			if !k.Deliver(b) {
				h.t.Fatal("the fake kernel takes no packet")
			}
		}
		if _, err := w.pass(); err != nil {
			h.t.Fatal(err)
		}
		h.check(0)
	}
	if w.count.Verdicts[packet.DropTxFull] == 0 {
		h.t.Errorf("all of it left: %v", h.verdicts(0))
	}
}

// Errors cross ports and VLANs like the packets that they are about.
func TestRelatedAcross(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 1)
	h := newHarness(t, 1, s)
	a := s.Backends[0].Address
	h.facts.NextHops[a] = balancer.NextHop{MAC: backendMAC(a), OnLink: true, Link: balancer.Link{Tags: tagsOf([]uint16{7})}}
	h.apply()
	syn := packettest.TCP(client4, vip4, packet.TCPSyn)
	syn.VLANs = []uint16{5, 6}
	sent := h.one(0, syn)
	sent.VLANs = nil
	in := about(sent, "10.0.0.11", backendMAC(a), 1200)
	in.VLANs = []uint16{7}
	out := h.one(0, in)
	if fmt.Sprint(out.VLANs) != "[5 6]" || out.DstMAC != syn.SrcMAC || out.Src.Addr() != syn.Dst.Addr() {
		t.Errorf("to the client: %+v", out)
	}
	seen := syn
	seen.Src, seen.Dst, seen.VLANs = syn.Dst, syn.Src, nil
	in = about(seen, "198.51.100.7", syn.SrcMAC, 1200)
	in.VLANs = []uint16{5, 6}
	out = h.one(0, in)
	if fmt.Sprint(out.VLANs) != "[7]" || out.DstMAC != backendMAC(a) || out.Dst.Addr() != a {
		t.Errorf("to the backend: %+v", out)
	}
}

// Where no way is known yet, an error is lost like any packet.
func TestRelatedWithoutAWay(t *testing.T) {
	relations(t, func(t *testing.T, h *harness, mode balancer.Mode, ends [2]string, udp bool) {
		e := relate(h, ends, udp)
		clear(h.facts.NextHops)
		h.apply()
		h.dropped(0, about(e.toVIP, e.routers[0], e.mac[0], 1200), packet.DropNoNeighbour)
	})
}
