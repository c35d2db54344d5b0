package engine

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// tunnelFlows calls test with a flow in each kind of tunnel. The request is the client's, and
// sent what left for the backend.
func tunnelFlows(t *testing.T, test func(t *testing.T, h *harness, own string, request packettest.Frame, sent []byte)) {
	for _, mode := range tunnelModes {
		for inner, ends := range map[string][2]string{"ipv4": {client4, vip4}, "ipv6": {client6, vip6}} {
			for _, own := range []string{own4, own6} {
				t.Run(fmt.Sprint(mode, inner, own), func(t *testing.T) {
					s := tunnelService(ends[1], mode, 1, own)
					h := newHarness(t, 1, s)
					a := s.Backends[0].Address
					h.facts.NextHops[a] = balancer.NextHop{MAC: backendMAC(a), Own: netip.MustParseAddr(own)}
					h.apply()
					request := packettest.TCP(ends[0], ends[1], packet.TCPSyn)
					request.DF, request.VLANs = request.Is4(), []uint16{9}
					h.raw(request)
					request.Flags, request.Payload = packet.TCPAck, make([]byte, 1350)
					test(t, h, own, request, h.raw(request))
				})
			}
		}
	}
}

// raw delivers a frame, and returns the one that comes out as it is.
func (h *harness) raw(f packettest.Frame) []byte {
	h.t.Helper()
	sent := h.pass(0, f)
	if len(sent) != 1 {
		h.t.Fatalf("%d packets came out; verdicts %v", len(sent), h.verdicts(0))
	}
	return sent[0]
}

// onTheWay is what a router on the way to a backend says of a packet in a tunnel: that its
// link takes less, or if mtu is 0 that nobody is there.
func onTheWay(own string, sent []byte, mtu uint16) packettest.Frame {
	router, kind := "10.7.0.1", [2]uint8{3, 4}
	if netip.MustParseAddr(own).Is6() {
		router, kind = "2001:db8:70::1", [2]uint8{2, 0}
	}
	if mtu == 0 {
		kind[1] = 0
		if kind[0] == 2 {
			kind[0] = 1
		}
	}
	e := packettest.Echo(router, own, 0)
	e.Type, e.Code, e.EchoSeq, e.Payload = kind[0], kind[1], mtu, sent[14:][:min(len(sent)-14, 1232)]
	if kind[0] == 3 {
		e.Payload = e.Payload[:min(len(e.Payload), 548)]
	}
	return e
}

// The client is told, by the service, about its own packet, of what happens to that on the
// way of a tunnel: that it can't be reached, or how much fits.
func TestErrorOnATunnelsWay(t *testing.T) {
	tunnelFlows(t, func(t *testing.T, h *harness, own string, request packettest.Frame, sent []byte) {
		overhead := len(sent) - len(request.Bytes()) + 4
		for _, mtu := range []uint16{1380, 0} {
			out := h.one(0, onTheWay(own, sent, mtu))
			if out.Src.Addr() != request.Dst.Addr() || out.Dst.Addr() != request.Src.Addr() || out.DstMAC != request.SrcMAC || fmt.Sprint(out.VLANs) != "[9]" {
				t.Errorf("MTU %d: %+v", mtu, out)
			}
			told, want := toldOf(out), 0
			if mtu != 0 {
				want = int(mtu) - overhead
			}
			if told != want {
				t.Errorf("MTU %d of the link, %d bytes of headers: told of %d", mtu, overhead, told)
			}
			whole := request.Bytes()[18:]
			if len(out.Payload) < 400 || string(out.Payload) != string(whole[:len(out.Payload)]) {
				t.Errorf("quotes %x", out.Payload)
			}
		}
		if got := h.verdicts(0); got["replied"] != 2 {
			t.Errorf("%v", got)
		}
	})
}

// Nobody is told of what is about no flow of the tunnel, or that the tunnel's entry was not
// to hear.
func TestErrorAboutNoTunnel(t *testing.T) {
	tunnelFlows(t, func(t *testing.T, h *harness, own string, request packettest.Frame, sent []byte) {
		in := onTheWay(own, sent, 1380)
		misled := in
		misled.Dst = netip.AddrPortFrom(in.Dst.Addr().Next(), 0)
		h.dropped(0, misled, packet.DropICMP)
		cut := in
		cut.Payload = in.Payload[:40]
		h.dropped(0, cut, packet.DropICMP)
		spoiled := in.Bytes()
		spoiled[len(spoiled)-1]++ // of what is quoted: the checksum covers it
		h.droppedRaw(0, spoiled, packet.DropICMP)
		w := h.engine.workers[0]
		w.budgets[tunnelErrors] = budget{perSecond: 1, primed: true, at: w.clock.Now()} // it is used up
		h.dropped(0, in, packet.DropReplyLimit)
		other := h.spec.Services[0].Backends[0].Address.Next()
		h.spec.Services[0].Backends[0].Address = other // the flow stays with the one that is gone
		h.facts.NextHops[other] = balancer.NextHop{MAC: backendMAC(other), Own: netip.MustParseAddr(own)}
		h.apply()
		at := 16
		if netip.MustParseAddr(own).Is6() {
			at = 24
		}
		forged := in
		forged.Payload = append([]byte(nil), in.Payload...)
		copy(forged.Payload[at:], other.AsSlice())
		h.dropped(0, forged, packet.DropICMP)
	})
}
