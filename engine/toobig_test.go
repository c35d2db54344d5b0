package engine

import (
	"bytes"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// narrow gives the way to a service's one backend an MTU.
func (h *harness) narrow(s *balancer.ServiceSpec, mtu uint16) {
	a := s.Backends[0].Address
	h.facts.NextHops[a] = balancer.NextHop{MAC: backendMAC(a), OnLink: true, Link: balancer.Link{MTU: mtu}}
	h.apply()
}

// toldOf is the MTU that an ICMP error tells of; 0 if it tells of none.
func toldOf(f packettest.Frame) int {
	switch [3]uint8{f.Proto, f.Type, f.Code} {
	case [3]uint8{packet.ProtoICMP, 3, 4}, [3]uint8{packet.ProtoICMPv6, 2, 0}:
		return int(f.EchoSeq)
	}
	return 0
}

// Who sends a request that the way to the backend does not take is told what it takes; if it
// lets routers fragment, that is done.
func TestTooBigRequest(t *testing.T) {
	relations(t, func(t *testing.T, h *harness, mode balancer.Mode, ends [2]string, udp bool) {
		h.narrow(&h.spec.Services[0], 1300)
		for i := range h.spec.Services[0].Backends {
			h.spec.Services[0].Backends[i].Weight = uint16(1 - min(i, 1))
		}
		h.apply()
		e := relate(h, ends, udp)
		in := e.request
		in.DF, in.TTL = in.Is4(), 64
		if !udp {
			in.Flags, in.Seq, in.Ack = packet.TCPAck, in.Seq+1, 0x01020305
		}
		in.Payload = make([]byte, 1300)
		out := h.one(0, in)
		if toldOf(out) != 1300 || out.Src.Addr() != in.Dst.Addr() || out.Dst.Addr() != in.Src.Addr() || out.DstMAC != in.SrcMAC {
			t.Errorf("answer: %+v", out)
		}
		if !in.Is4() {
			return
		}
		in.DF = false
		if got := assembled(t, h.pass(0, in)); !bytes.Equal(got.Payload, in.Payload) {
			t.Errorf("it arrives as %+v", got)
		}
	})
}

// A backend is told by the client's way what that takes.
func TestTooBigReply(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 1)
	h := newHarness(t, 1, s)
	h.facts.Ports[0].MTU = 1300
	h.apply()
	syn := packettest.TCP(client4, vip4, packet.TCPSyn)
	syn.VLANs = []uint16{5}
	sent := h.one(0, syn)
	in := packettest.TCP(sent.Dst.String(), client4, packet.TCPAck)
	in.SrcMAC, in.DstMAC, in.DF, in.Payload = sent.DstMAC, gatewayMAC, true, make([]byte, 1300)
	if out := h.one(0, in); toldOf(out) != 1300 || out.Dst.Addr() != in.Src.Addr() || out.DstMAC != in.SrcMAC || len(out.VLANs) != 0 {
		t.Errorf("answer: %+v", out)
	}
}

// A flood of them is not answered at full rate; an error that is too big is not answered.
func TestTooBigIsLimited(t *testing.T) {
	s := service("web", vip4, balancer.NAT, 1)
	h := newHarness(t, 1, s)
	h.narrow(&s, 300)
	e := relate(h, [2]string{client4, vip4}, false)
	in := e.request
	in.Flags, in.DF, in.Payload = packet.TCPAck, true, make([]byte, 1000)
	w := h.engine.workers[0]
	w.budgets[tooBigs] = budget{perSecond: 1, tokens: 1000, at: w.clock.Now(), primed: true}
	if out := h.one(0, in); toldOf(out) != 300 {
		t.Errorf("answer: %+v", out)
	}
	h.dropped(0, in, packet.DropReplyLimit)
	large := e.toVIP
	large.Payload = make([]byte, 500)
	h.dropped(0, about(large, e.routers[0], e.mac[0], 1200), packet.DropTooBig)
}
