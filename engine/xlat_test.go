package engine

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// mixedService is fullnatService with backends of the other family.
func mixedService(vip string, proto uint8) balancer.ServiceSpec {
	at := netip.MustParseAddrPort(vip)
	other := vip4
	if at.Addr().Is4() {
		other = vip6
	}
	s := fullnatService("mixed"+vip, other, 1, 100)
	s.Address, s.First, s.Last, s.Protocol = at.Addr(), at.Port(), at.Port(), balancer.Protocol(proto)
	return s
}

// mixes are the two ways to mix families, by client and service.
var mixes = map[string]struct{ client, vip string }{
	"IPv4 to IPv6": {client4, vip4},
	"IPv6 to IPv4": {client6, vip6},
}

func TestFullNATBetweenFamilies(t *testing.T) {
	for name, c := range mixes {
		for _, proto := range []uint8{packet.ProtoTCP, packet.ProtoUDP} {
			t.Run(name+"/"+balancer.Protocol(proto).String(), func(t *testing.T) {
				s := mixedService(c.vip, proto)
				h := newHarness(t, 2, s)
				f := packettest.Frame{
					SrcMAC: packet.MAC{2, 0, 0, 0, 0, 7}, DstMAC: gatewayMAC, TTL: 64, TOS: 0xb8, Proto: proto, Flags: packet.TCPSyn, Seq: 100,
					Src: netip.MustParseAddrPort(c.client), Dst: netip.MustParseAddrPort(c.vip), Payload: []byte("hello"), Padding: 9,
				}
				for range 2 {
					out := h.one(0, f)
					if out.Src.Addr() != s.SnatAddresses[0] || out.Src.Port() < 2000 || out.Src.Port() > 2099 || out.Dst.Addr() != s.Backends[0].Address ||
						out.Dst.Port() != 8080 || out.TTL != 63 || out.TOS != 0xb8 || string(out.Payload) != "hello" || out.Padding != 0 ||
						out.DstMAC != backendMAC(s.Backends[0].Address) || out.SrcMAC != gatewayMAC {
						t.Fatalf("to the backend: %+v", out)
					}
					for queue := range 2 { // the same, and the other
						back := h.one(queue, replyTo(out, packet.TCPSyn|packet.TCPAck))
						if back.Src != f.Dst || back.Dst != f.Src || back.TTL != 63 || string(back.Payload) != "answer" || back.DstMAC != f.SrcMAC {
							t.Fatalf("to the client: %+v", back)
						}
					}
				}
				if in := h.flowInfo(); in.Source.Netip() != s.SnatAddresses[0] || in.Key != f.Key() {
					t.Errorf("flow %+v", in)
				}
			})
		}
	}
}

// A service may have backends of both families.
func TestBackendsOfBothFamilies(t *testing.T) {
	for name, c := range mixes {
		s, own := mixedService(c.vip, packet.ProtoTCP), fullnatService("web", c.vip, 1, 100)
		own.Backends[0].Name = "own"
		s.Backends = append(s.Backends, own.Backends[0])
		s.SnatAddresses = append(s.SnatAddresses, own.SnatAddresses...)
		h := newHarness(t, 1, s)
		seen := map[string]bool{}
		for i := range 4 {
			f := packettest.TCP(netip.AddrPortFrom(netip.MustParseAddrPort(c.client).Addr(), uint16(20000+i)).String(), c.vip, packet.TCPSyn)
			out := h.one(0, f)
			seen[target(t, &s, out)] = true
			if back := h.one(0, replyTo(out, packet.TCPSyn|packet.TCPAck)); back.Src != f.Dst || back.Dst != f.Src {
				t.Errorf("%s: %+v answers %+v", name, back, f)
			}
		}
		if len(seen) != 2 {
			t.Errorf("%s: only to %v", name, seen)
		}
	}
}

// A connection lives through all of its life, and its packets' sequence numbers are seen
// where they are in the packet then.
func TestConnectionBetweenFamilies(t *testing.T) {
	for name, c := range mixes {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t, 1, mixedService(c.vip, packet.ProtoTCP))
			syn := packettest.TCP(c.client, c.vip, packet.TCPSyn)
			out := h.one(0, syn)
			h.one(0, replyTo(out, packet.TCPSyn|packet.TCPAck))
			h.one(0, packettest.TCP(c.client, c.vip, packet.TCPAck))
			if n := h.engine.flows.Stats(); n.Flows[conntrack.TCPEstablished] != 1 {
				t.Fatalf("after the handshake: %+v", n)
			}
			fin := packettest.TCP(c.client, c.vip, packet.TCPAck|packet.TCPFin)
			out = h.one(0, fin)
			reply := replyTo(out, packet.TCPAck|packet.TCPFin)
			reply.Payload, reply.Seq, reply.Ack = nil, out.Ack, out.Seq+1
			h.one(0, reply)
			if n := h.engine.flows.Stats(); n.Flows[conntrack.TCPClosing] != 1 {
				t.Errorf("after both FINs: %+v", n)
			}
		})
	}
}

// What does not fit as the other family has it is answered with what would.
func TestTooBigBetweenFamilies(t *testing.T) {
	for _, c := range []struct {
		client, vip  string
		fits, mtu    int // of the packet, and what is told
		header, kind int
	}{
		{client4, vip4, 1480, 1480, 20, 3},
		{client6, vip6, 1520, 1520, 40, 2},
	} {
		h := newHarness(t, 1, mixedService(c.vip, packet.ProtoTCP))
		h.facts.Ports[0].MTU = 1500
		h.apply()
		h.one(0, packettest.TCP(c.client, c.vip, packet.TCPSyn))
		f := packettest.TCP(c.client, c.vip, packet.TCPAck)
		f.DF = f.Is4()
		f.Payload = make([]byte, c.fits-c.header-20)
		if out := h.one(0, f); len(out.Payload) != len(f.Payload) {
			t.Fatalf("%d bytes: %+v", c.fits, out)
		}
		f.Payload = append(f.Payload, 0)
		out := h.one(0, f)
		if int(out.Type) != c.kind || int(out.EchoSeq) != c.mtu || out.Dst.Addr() != f.Src.Addr() || out.Src.Addr() != f.Dst.Addr() {
			t.Errorf("%d bytes: %+v", c.fits+1, out)
		}
	}
}

// The last hop is told as in any other mode, and what no family can say goes no further.
func TestUntranslatableBetweenFamilies(t *testing.T) {
	for _, c := range mixes {
		h := newHarness(t, 1, mixedService(c.vip, packet.ProtoTCP))
		h.one(0, packettest.TCP(c.client, c.vip, packet.TCPSyn))
		f := packettest.TCP(c.client, c.vip, packet.TCPAck)
		f.TTL = 1
		h.exceeded(f)
		if f.Is4() {
			f.TTL, f.IPOptions = 64, []byte{131, 7, 4, 192, 0, 2, 9, 0}
			h.dropped(0, f, packet.DropProtocol)
		}
	}
}

// A client in a VLAN has its replies there, and its tag goes no further.
func TestVLANBetweenFamilies(t *testing.T) {
	for name, c := range mixes {
		h := newHarness(t, 1, mixedService(c.vip, packet.ProtoTCP))
		f := packettest.TCP(c.client, c.vip, packet.TCPSyn)
		f.VLANs = []uint16{7, 42}
		out := h.one(0, f)
		back := h.one(0, replyTo(out, packet.TCPSyn|packet.TCPAck))
		if len(out.VLANs) != 0 || len(back.VLANs) != 2 || back.VLANs[0] != 7 || back.VLANs[1] != 42 || back.Src != f.Dst {
			t.Errorf("%s: to the backend %+v, back %+v", name, out, back)
		}
	}
}

// An ICMP error reaches the end that sent the packet, in its own family, and quotes that
// packet as that end has sent it.
func TestRelatedBetweenFamilies(t *testing.T) {
	routers := map[bool]string{true: "10.9.9.9", false: "2001:db8:99::9"}
	for name, c := range mixes {
		for _, proto := range []uint8{packet.ProtoTCP, packet.ProtoUDP} {
			t.Run(name+"/"+balancer.Protocol(proto).String(), func(t *testing.T) {
				h := newHarness(t, 1, mixedService(c.vip, proto))
				e := relate(h, [2]string{c.client, c.vip}, proto == packet.ProtoUDP)
				check := func(of, sent packettest.Frame, from, to netip.Addr, came, went packet.MAC) {
					t.Helper()
					tooBig, told := about(of, routers[of.Is4()], came, 1000), uint16(1420)
					if tooBig.Type, tooBig.Code, tooBig.EchoSeq = 3, 4, 1400; !of.Is4() {
						tooBig.Type, tooBig.Code, told = 2, 0, 1380
					}
					out := h.one(0, tooBig)
					sent.ID = 0 // its IPv6 form has none
					if out.Src.Addr() != from || out.Dst.Addr() != to || out.TTL != tooBig.TTL-1 || out.DstMAC != went {
						t.Errorf("%+v becomes %+v", tooBig, out)
					}
					if out.EchoSeq != told {
						t.Errorf("tells %d, want %d", out.EchoSeq, told)
					}
					if quoted := quoteOf(sent, of.TTL, 1000); string(out.Payload) != string(quoted) {
						t.Errorf("quotes %x\n   want %x", out.Payload, quoted)
					}
				}
				check(e.toBackend, e.request, e.request.Dst.Addr(), e.request.Src.Addr(), e.mac[1], e.mac[0])
				check(e.toVIP, e.reply, e.toBackend.Src.Addr(), e.toBackend.Dst.Addr(), e.mac[0], e.mac[1])
			})
		}
	}
}

// What IPv4 routers may split and IPv6 ones do not is split here, whole packets and
// fragments of the usual size alike.
func TestSplitBetweenFamilies(t *testing.T) {
	h := newHarness(t, 1, mixedService(vip4, packet.ProtoUDP))
	out := h.one(0, packettest.UDP(client4, vip4, "first"))
	f := packettest.UDP(client4, vip4, string(make([]byte, 1472)))
	f.Payload[1471] = 7
	sent := h.pass(0, f)
	if len(sent) != 2 {
		t.Fatalf("%d packets came out: %v", len(sent), h.verdicts(0))
	}
	data := make([]byte, 1480)
	for _, b := range sent {
		ip := b[14:]
		if len(ip) > 1500 || ip[6] != 44 || packet.AddrFrom(out.Dst.Addr()) != packet.Addr(ip[24:40]) {
			t.Errorf("%d bytes: %x", len(ip), ip[:48])
		}
		copy(data[binary.BigEndian.Uint16(ip[42:])&^7:], ip[48:])
	}
	whole := append(binary.BigEndian.AppendUint16(sent[0][14:18:18], 1480), 17, 63)
	whole = append(append(append(sent[0][:14:14], whole...), sent[0][22:54]...), data...)
	if d := packettest.Verify(t, whole); string(d.Payload) != string(f.Payload) || d.Dst != out.Dst || d.Src != out.Src {
		t.Errorf("together %+v", d)
	}
	in := h.engine.workers[0].count
	if in.Received != 3 || in.Verdicts[packet.Forwarded] != 3 {
		t.Errorf("counted %d packets, forwarded %d", in.Received, in.Verdicts[packet.Forwarded])
	}
}
