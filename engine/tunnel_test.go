package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket/layers"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
	"github.com/afxlb/afxlb/xsk"
)

// tunnelModes are those that encapsulate.
var tunnelModes = []balancer.Mode{balancer.IPIP, balancer.GUE, balancer.GRE}

// tunnelService is service in one of them, with backends of the family of own.
func tunnelService(vip string, mode balancer.Mode, backends int, own string) balancer.ServiceSpec {
	s := service("web", vip, mode, backends)
	for i := range s.Backends {
		s.Backends[i].Address = netip.AddrFrom4([4]byte{10, 0, 0, byte(11 + i)})
		if netip.MustParseAddr(own).Is6() {
			s.Backends[i].Address = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0x10, 15: byte(0x11 + i)})
		}
	}
	return s
}

const own4, own6 = "10.0.0.1", "2001:db8:10::1"

// inTunnel delivers one frame, and returns it as its backend has it when it came out.
func (h *harness) inTunnel(f packettest.Frame) (packettest.Outer, packettest.Frame) {
	h.t.Helper()
	sent := h.pass(0, f)
	if len(sent) != 1 {
		h.t.Fatalf("%d packets came out for one from %v to %v; verdicts %v", len(sent), f.Src, f.Dst, h.verdicts(0))
	}
	return packettest.Unwrap(h.t, sent[0])
}

// Whatever is inside, and of what family and kind the outside is: the packet inside is the one
// that came, and it is for the backend from the balancer.
func TestTunnels(t *testing.T) {
	vlans := [][]uint16{nil, {7}, {100, 7}}
	for _, mode := range tunnelModes {
		for inner, ends := range map[string][2]string{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
			for _, own := range []string{own4, own6} {
				for _, in := range vlans {
					for _, out := range vlans {
						t.Run(fmt.Sprint(mode, inner, own, in, out), func(t *testing.T) { testTunnel(t, mode, ends, own, in, out) })
					}
				}
			}
		}
	}
}

func testTunnel(t *testing.T, mode balancer.Mode, ends [2]string, own string, in, out []uint16) {
	s := tunnelService(ends[1], mode, 1, own)
	h := newHarness(t, 1, s)
	a, source := s.Backends[0].Address, packet.MAC{2, 0, 0, 0, 9, 8}
	h.facts.NextHops[a] = balancer.NextHop{
		MAC: backendMAC(a), Source: source, Own: netip.MustParseAddr(own), Link: balancer.Link{Tags: tagsOf(out)},
	}
	h.apply()
	f := packettest.TCP(ends[0], ends[1], packet.TCPSyn)
	f.VLANs, f.TOS, f.TTL, f.Padding = in, 0xb9, 7, 6
	for n := range 3 {
		if n > 0 {
			f.Flags, f.Payload = packet.TCPAck, []byte("more")
		}
		outer, inner := h.inTunnel(f)
		want := f
		want.VLANs, want.Padding, want.SrcMAC, want.DstMAC = nil, 0, source, backendMAC(a)
		if d := packettest.Diff(inner, want); d != "" {
			t.Errorf("packet %d, inside: %s", n, d)
		}
		proto := map[balancer.Mode]layers.IPProtocol{balancer.IPIP: layers.IPProtocolIPv4, balancer.GUE: layers.IPProtocolUDP, balancer.GRE: layers.IPProtocolGRE}[mode]
		if mode == balancer.IPIP && !f.Is4() {
			proto = layers.IPProtocolIPv6
		}
		if outer.Src.Addr().String() != own || outer.Dst.Addr() != a || outer.Proto != proto || outer.TTL != 64 || outer.TOS != f.TOS || outer.GUE || outer.Checksum {
			t.Errorf("packet %d, outside: %+v", n, outer)
		}
		if mode == balancer.GUE && outer.Dst.Port() != 6080 {
			t.Errorf("to port %d", outer.Dst.Port())
		}
	}
	if b := h.engine.workers[0].count.Backends[0]; b.Packets[conntrack.Request] != 3 || b.Packets[conntrack.Reply] != 0 {
		t.Errorf("the backend has %v packets", b.Packets)
	}
}

// What the config says of a tunnel is what it looks like.
func TestTunnelOptions(t *testing.T) {
	s := tunnelService(vip4, balancer.GUE, 1, own4)
	s.GUE = balancer.GUESpec{Port: 7000, Variant: 0, Checksum: true}
	s.TunnelSources = []netip.Prefix{netip.MustParsePrefix("10.64.0.0/16")}
	h := newHarness(t, 1, s)
	sources, ports := map[netip.Addr]bool{}, map[uint16]bool{}
	for n := range uint16(100) {
		f := packettest.TCP(client4, vip4, packet.TCPSyn)
		f.Src = netipPort(f.Src, 1000+n)
		outer, _ := h.inTunnel(f)
		if outer.Dst.Port() != 7000 || !outer.GUE || !outer.Checksum || !s.TunnelSources[0].Contains(outer.Src.Addr()) {
			t.Fatalf("outside: %+v", outer)
		}
		f.Flags = packet.TCPAck
		if again, _ := h.inTunnel(f); again.Src != outer.Src {
			t.Errorf("packets of one flow come from %v and %v", outer.Src, again.Src)
		}
		sources[outer.Src.Addr()], ports[outer.Src.Port()] = true, true
	}
	if len(sources) < 95 || len(ports) < 95 {
		t.Errorf("100 flows have %d source addresses and %d source ports", len(sources), len(ports))
	}
}

// The way's MTU holds for the outer packet. Who sends a larger one is told what fits inside.
func TestTunnelMTU(t *testing.T) {
	for _, mode := range tunnelModes {
		for _, own := range []string{own4, own6} {
			s := tunnelService(vip4, mode, 1, own)
			h := newHarness(t, 1, s)
			h.inTunnel(packettest.TCP(client4, vip4, packet.TCPSyn))
			table := h.engine.table.Load()
			room := 1500 - table.Tunnels[table.Backends[0].Tunnel].Len()
			f := packettest.TCP(client4, vip4, packet.TCPAck)
			f.Payload = make([]byte, room-40)
			if outer, _ := h.inTunnel(f); outer.Dst.Addr() != s.Backends[0].Address {
				t.Errorf("%v: %+v", mode, outer)
			}
			f.Payload = make([]byte, room-40+1)
			var parts [][]byte // routers may fragment it
			for _, sent := range h.pass(0, f) {
				_, inner, err := packettest.DecodeTunnel(sent)
				if err != nil || len(sent) > 14+1500 {
					t.Fatalf("%v: %d bytes, %v", mode, len(sent), err)
				}
				parts = append(parts, inner)
			}
			want := f
			want.SrcMAC, want.DstMAC = gatewayMAC, backendMAC(s.Backends[0].Address)
			if got := assembled(t, parts); len(parts) != 2 || packettest.Diff(got, want) != "" {
				t.Errorf("%v: %d fragments: %s", mode, len(parts), packettest.Diff(got, want))
			}
			f.DF = true
			if out := h.one(0, f); out.Type != 3 || out.Code != 4 || int(out.EchoSeq) != room || out.Src.Addr() != f.Dst.Addr() {
				t.Errorf("%v: the answer to what is too big is %+v, want that %d bytes fit", mode, out, room)
			}
		}
	}
}

// Nobody who speaks IPv6 sends less than 1280 bytes at once for being told so. So these go into a
// tunnel that is too narrow for them as well: in fragments of the outer packet.
func TestNarrowTunnel(t *testing.T) {
	for _, mode := range tunnelModes {
		for _, own := range []string{own4, own6} {
			s := tunnelService(vip6, mode, 1, own)
			h := newHarness(t, 1, s)
			h.facts.Ports[0].MTU = 1280
			h.apply()
			seen := map[string]bool{}
			for _, payload := range []int{1280 - 60, 1280 - 60, 1261 - 60, 1100, 1280 - 60 + 1} {
				f := packettest.TCP(client6, vip6, packet.TCPAck)
				f.Payload = slices.Repeat([]byte{byte(payload)}, payload)
				if payload > 1280-60 {
					if out := h.one(0, f); out.Type != 2 || out.EchoSeq != 1280 {
						t.Errorf("%v: the answer to what is too big is %+v", mode, out)
					}
					continue
				}
				list := h.pass(0, f)
				if whole := payload == 1100; len(list) != map[bool]int{true: 1, false: 2}[whole] {
					t.Fatalf("%v in %s: %d frames for %d bytes", mode, own, len(list), payload)
				} else if whole {
					continue
				}
				if len(list[0]) > 14+1280 || len(list[0]) < len(list[1]) || seen[string(list[1])] {
					t.Errorf("%v in %s: of %d and %d bytes, %x", mode, own, len(list[0]), len(list[1]), list[1])
				}
				seen[string(list[1])] = true // the same once more has another identification
				one := assembledFrame(t, list)
				_, inner := packettest.Unwrap(t, one)
				want := f
				want.SrcMAC, want.DstMAC = gatewayMAC, backendMAC(s.Backends[0].Address)
				if d := packettest.Diff(inner, want); d != "" {
					t.Errorf("%v in %s, inside: %s", mode, own, d)
				}
			}
			h.check(0)
		}
	}
}

func assembledFrame(t *testing.T, parts [][]byte) []byte {
	t.Helper()
	b, err := packettest.Assemble(parts)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Fragments go into the tunnel after their first one, whole and in whatever order they come.
func TestTunnelFragments(t *testing.T) {
	for _, mode := range tunnelModes {
		for vip, client := range map[string]string{vip4: client4, vip6: client6} {
			s := tunnelService(vip, mode, 3, own4)
			s.Protocol = balancer.UDP
			h := newHarness(t, 2, s)
			in := big(client, vip, 4000, 1)
			list := cut(in)
			slices.Reverse(list)
			var parts [][]byte
			to := map[netip.Addr]bool{}
			for _, sent := range h.spread(list, func(i int) int { return i % 2 }) {
				outer, inner, err := packettest.DecodeTunnel(sent)
				if err != nil {
					t.Fatal(err)
				}
				parts, to[outer.Dst.Addr()] = append(parts, inner), true
			}
			got, want := assembled(t, parts), in
			want.SrcMAC, want.DstMAC, want.ID = gatewayMAC, got.DstMAC, got.ID // IPv6 has none
			if d := packettest.Diff(got, want); d != "" || len(to) != 1 {
				t.Errorf("%v: to %v: %s", mode, to, d)
			}
		}
	}
}

// A tunnel leaves by whichever of the several ways of a route its flow takes, and all are used.
// What fits into each fits.
func TestTunnelWays(t *testing.T) {
	s := tunnelService(vip4, balancer.GRE, 1, own4)
	h := newHarness(t, 1, s)
	a := s.Backends[0].Address
	hop := func(n byte) balancer.NextHop {
		return balancer.NextHop{MAC: packet.MAC{2, 0, 0, 0, 7, n}, Source: packet.MAC{2, 0, 0, 0, 8, n}, Own: ownAddress(a)}
	}
	ways := []balancer.Way{{NextHop: hop(0), Weight: 1}, {NextHop: hop(1), Weight: 1}}
	ways[1].Link = balancer.Link{MTU: 1400, Tags: tagsOf([]uint16{7})}
	h.facts.NextHops[a], h.facts.Ways = hop(0), map[netip.Addr][]balancer.Way{a: ways}
	h.apply()
	by := map[packet.MAC]int{}
	for n := range uint16(40) {
		in := packettest.TCP(client4, vip4, packet.TCPSyn)
		in.Src = netipPort(in.Src, 2000+n)
		sent := h.pass(0, in)
		_, first := packettest.Unwrap(t, sent[0])
		by[first.DstMAC]++
		tagged := sent[0][12] == 0x81
		if way := ways[first.DstMAC[5]]; first.SrcMAC != way.Source || tagged != (way.Link.MTU != 0) {
			t.Fatalf("flow %d goes to %v from %v, tagged %t", n, first.DstMAC, first.SrcMAC, tagged)
		}
		in.Flags = packet.TCPAck
		if _, next := h.inTunnel(in); next.DstMAC != first.DstMAC {
			t.Errorf("flow %d goes to %v, and then to %v", n, first.DstMAC, next.DstMAC)
		}
		in.DF, in.Payload = true, make([]byte, 1400-24-40+1)
		if out := h.one(0, in); out.Type != 3 || out.EchoSeq != 1400-24 {
			t.Errorf("what one of the ways does not take is answered by %+v", out)
		}
	}
	if len(by) != 2 {
		t.Errorf("flows go by %v, want both ways", by)
	}
}

// An error about what a backend has sent to a client goes to that backend, whole and in the
// tunnel like all else.
func TestTunnelRelated(t *testing.T) {
	for _, mode := range tunnelModes {
		for vip, client := range map[string]string{vip4: client4, vip6: client6} {
			s := tunnelService(vip, mode, 3, own6)
			h := newHarness(t, 1, s)
			flow, _ := h.inTunnel(packettest.TCP(client, vip, packet.TCPSyn))
			router := map[string]string{vip4: "203.0.113.1", vip6: "2001:db8:77::1"}[vip]
			kind := map[string]uint8{vip4: 3, vip6: 1}[vip]
			f := icmpError(router, netip.MustParseAddrPort(vip).Addr().String(), kind, packettest.TCP(vip, client, packet.TCPAck))
			outer, inner := h.inTunnel(f)
			want := f
			want.SrcMAC, want.DstMAC = gatewayMAC, backendMAC(flow.Dst.Addr())
			if d := packettest.Diff(inner, want); outer.Dst.Addr() != flow.Dst.Addr() || d != "" {
				t.Errorf("%v: the flow is at %v, the error at %v: %s", mode, flow.Dst, outer.Dst, d)
			}
		}
	}
}

// A packet whose hops end here gets no further in a tunnel either; any other has as many as
// it came with.
func TestTunnelTTL(t *testing.T) {
	for _, mode := range tunnelModes {
		h := newHarness(t, 1, tunnelService(vip6, mode, 1, own4))
		f := packettest.TCP(client6, vip6, packet.TCPSyn)
		f.TTL = 1
		h.exceeded(f)
		f.TTL = 2
		if _, inner := h.inTunnel(f); inner.TTL != 2 {
			t.Errorf("%v: TTL %d inside", mode, inner.TTL)
		}
		f.TTL, f.Flags = 1, packet.TCPAck
		h.exceeded(f)
	}
}

// What has been in a tunnel to a backend does not get into one again, and no backend is its own
// client.
func TestTunnelLoops(t *testing.T) {
	for _, mode := range tunnelModes {
		s := tunnelService(vip4, mode, 2, own4)
		s.Protocol = balancer.UDP
		h := newHarness(t, 1, s)
		h.dropped(0, packettest.UDP(own4+":50000", vip4, "a tunnel's"), packet.DropLoop)
		for n := range uint16(4) {
			f := packettest.UDP("10.0.0.11:1000", vip4, "a backend's")
			f.Src = netipPort(f.Src, 1000+n)
			if outer, _ := h.inTunnel(f); outer.Dst.Addr() != s.Backends[1].Address {
				t.Errorf("%v: backend a was sent to %v", mode, outer.Dst)
			}
		}
		h.spec.Services[0].TunnelSources = []netip.Prefix{netip.MustParsePrefix("10.64.0.0/16")}
		h.apply()
		h.dropped(0, packettest.UDP("10.64.3.4:50000", vip4, "a tunnel's"), packet.DropLoop)
		h.inTunnel(packettest.UDP("10.65.3.4:50000", vip4, "a client's"))
		if n := h.engine.flows.Stats().Inserted; n != 5 {
			t.Errorf("%v: %d flows", mode, n)
		}
	}
}

// Without a source there is no tunnel: the packet is not sent as it is instead.
func TestTunnelWithoutASource(t *testing.T) {
	s := tunnelService(vip4, balancer.IPIP, 1, own4)
	h := newHarness(t, 1, s)
	f := packettest.TCP(client4, vip4, packet.TCPSyn)
	h.inTunnel(f)
	a := s.Backends[0].Address
	h.facts.NextHops[a] = balancer.NextHop{MAC: backendMAC(a), OnLink: true}
	h.apply()
	f.Flags = packet.TCPAck
	h.dropped(0, f, packet.DropNoNeighbour)
}

// A frame without room in front of it, as a small headroom leaves it, is dropped as it came.
func TestTunnelWithoutHeadroom(t *testing.T) {
	h := newHarness(t, 1, tunnelService(vip4, balancer.IPIP, 1, own4))
	f := packettest.TCP(client4, vip4, packet.TCPSyn)
	h.inTunnel(f)
	w := h.engine.workers[0]
	w.socket.Recycle()
	f.Flags = packet.TCPAck
	b := f.Bytes()
	h.kernels[0].Deliver(b)
	if n := w.receive(); n != 1 {
		t.Fatalf("%d received", n)
	}
	frameSize := uint64(w.socket.UMEM().FrameSize())
	d := &w.descs[0]
	start := d.Addr / frameSize * frameSize
	copy(w.socket.UMEM().Frame(xsk.Desc{Addr: start + 10, Len: uint32(len(b))}), b)
	d.Addr = start + 10
	w.parse(0, 1)
	w.find(0, 1)
	w.handle(0, 1)
	if v := w.verdicts[0]; v != packet.DropTooBig {
		t.Errorf("verdict %v", v)
	}
	if got := w.frames[0]; string(got) != string(b) {
		t.Errorf("the frame has changed")
	}
}
