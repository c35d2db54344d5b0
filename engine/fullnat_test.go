package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/snat"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// The balancer's own addresses towards the backends.
var sources4 = []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6")}

// fullnatService is service with full NAT, its backends at port 8080 and so many ports at
// one source.
func fullnatService(name, vip string, backends, ports int) balancer.ServiceSpec {
	s := service(name, vip, balancer.FullNAT, backends)
	for i := range s.Backends {
		s.Backends[i].Port = 8080
	}
	s.SnatAddresses = sources4[:1:1] // who appends to it gets a list of its own
	if s.Address.Is6() {
		s.SnatAddresses = []netip.Addr{netip.MustParseAddr("2001:db8:10::5")}
	}
	s.SnatPorts = balancer.Ports{First: 2000, Last: uint16(2000 + ports - 1)}
	return s
}

// replyTo returns what a backend answers to a frame that it got.
func replyTo(f packettest.Frame, flags uint8) packettest.Frame {
	return packettest.Frame{
		SrcMAC: f.DstMAC, DstMAC: gatewayMAC, Src: f.Dst, Dst: f.Src, Proto: f.Proto, Flags: flags, TTL: 64, Payload: []byte("answer"),
		Seq: f.Seq, Ack: f.Seq + 1,
	}
}

func TestFullNAT(t *testing.T) {
	for name, c := range map[string]struct {
		client, vip string
		proto       uint8
	}{
		"IPv4 TCP": {client4, vip4, packet.ProtoTCP}, "IPv4 UDP": {client4, vip4, packet.ProtoUDP},
		"IPv6 TCP": {client6, vip6, packet.ProtoTCP}, "IPv6 UDP": {client6, vip6, packet.ProtoUDP},
	} {
		t.Run(name, func(t *testing.T) {
			s := fullnatService("web", c.vip, 1, 100)
			s.Protocol = balancer.Protocol(c.proto)
			h := newHarness(t, 2, s)
			f := packettest.Frame{
				SrcMAC: packet.MAC{2, 0, 0, 0, 0, 7}, DstMAC: gatewayMAC, TTL: 64, Proto: c.proto, Flags: packet.TCPSyn, Seq: 100, Payload: []byte("hello"),
				Src: netip.MustParseAddrPort(c.client), Dst: netip.MustParseAddrPort(c.vip),
			}
			for range 2 {
				out := h.one(0, f)
				if out.Src.Addr() != s.SnatAddresses[0] || out.Src.Port() < 2000 || out.Src.Port() > 2099 || out.Dst.Addr() != s.Backends[0].Address ||
					out.Dst.Port() != 8080 || out.TTL != 63 || string(out.Payload) != "hello" || out.DstMAC != backendMAC(s.Backends[0].Address) || out.SrcMAC != gatewayMAC {
					t.Fatalf("to the backend: %+v", out)
				}
				for queue := range 2 { // the same, and the other
					back := h.one(queue, replyTo(out, packet.TCPSyn|packet.TCPAck))
					if back.Src != f.Dst || back.Dst != f.Src || back.TTL != 63 || string(back.Payload) != "answer" || back.DstMAC != f.SrcMAC {
						t.Fatalf("to the client: %+v", back)
					}
				}
			}
			if n := h.engine.flows.Stats().Total(); n != 1 {
				t.Errorf("%d flows", n)
			}
		})
	}
}

// What is not quite an answer does not reach the client.
func TestFullNATTakesNobodyElsesAnswers(t *testing.T) {
	s := fullnatService("web", vip4, 2, 100)
	h := newHarness(t, 1, s)
	out := h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
	reply := replyTo(out, packet.TCPSyn|packet.TCPAck)
	other := s.Backends[0].Address
	if other == out.Dst.Addr() {
		other = s.Backends[1].Address
	}
	for what, change := range map[string]func(f *packettest.Frame){
		"port":         func(f *packettest.Frame) { f.Dst = netip.AddrPortFrom(f.Dst.Addr(), f.Dst.Port()^1) },
		"backend":      func(f *packettest.Frame) { f.Src = netip.AddrPortFrom(other, f.Src.Port()) },
		"backend port": func(f *packettest.Frame) { f.Src = netip.AddrPortFrom(f.Src.Addr(), 8081) },
		"protocol":     func(f *packettest.Frame) { f.Proto = packet.ProtoUDP },
		"client":       func(f *packettest.Frame) { f.Dst = netip.MustParseAddrPort(client4) },
		"source": func(f *packettest.Frame) {
			f.Src, f.Dst = f.Dst, netip.MustParseAddrPort(client4)
		},
	} {
		f := reply
		change(&f)
		f.Flags = packet.TCPRst // that nothing is answered
		for _, raw := range h.pass(0, f) {
			t.Errorf("another %s: out came %+v", what, packettest.Verify(t, raw))
		}
	}
	if back := h.one(0, reply); back.Dst != netip.MustParseAddrPort(client4) {
		t.Errorf("the answer itself: %+v", back)
	}
}

// Who sends from the balancer's own address and port to another service of the same backend
// gets nothing of what that answers to the flow there.
func TestNobodyElseSpeaksFromASource(t *testing.T) {
	for _, vips := range [][2]string{{vip4, "192.0.2.11:80"}, {vip6, "[2001:db8:2::11]:80"}} {
		s, other := fullnatService("web", vips[0], 1, 100), service("other", vips[1], balancer.NAT, 1)
		h := newHarness(t, 2, s, other)
		client := client4
		if s.Address.Is6() {
			client = client6
		}
		out := h.one(0, packettest.TCP(client, vips[0], packet.TCPSyn))
		h.dropped(0, packettest.TCP(out.Src.String(), vips[1], packet.TCPSyn), packet.DropMartian)
		if back := h.one(1, replyTo(out, packet.TCPSyn|packet.TCPAck)); back.Dst.String() != client || back.Src.String() != vips[0] {
			t.Errorf("the answer went from %v to %v", back.Src, back.Dst)
		}
	}
}

func TestFullNATOfManyPorts(t *testing.T) {
	s := fullnatService("web", vip4, 1, 100)
	s.First, s.Last, s.Backends[0].Port = 80, 90, 0
	h := newHarness(t, 1, s)
	seen := map[uint16]bool{}
	for port := range uint16(10) {
		vip := netip.AddrPortFrom(s.Address, 80+port).String()
		out := h.one(0, packettest.TCP(client4, vip, packet.TCPSyn))
		if out.Dst.Port() != 80+port || seen[out.Src.Port()] {
			t.Errorf("to %s: %v → %v", vip, out.Src, out.Dst)
		}
		seen[out.Src.Port()] = true
		if back := h.one(0, replyTo(out, packet.TCPSyn|packet.TCPAck)); back.Src.String() != vip || back.Dst.String() != client4 {
			t.Errorf("back from %s: %v → %v", vip, back.Src, back.Dst)
		}
	}
}

// A backend may be a client of its own service: it does not see itself.
func TestHairpin(t *testing.T) {
	s := fullnatService("web", vip4, 1, 100)
	h := newHarness(t, 1, s)
	self := s.Backends[0].Address
	f := packettest.TCP(netip.AddrPortFrom(self, 40000).String(), vip4, packet.TCPSyn)
	f.SrcMAC = backendMAC(self)
	out := h.one(0, f)
	if out.Src.Addr() != sources4[0] || out.Dst.Addr() != self {
		t.Fatalf("%v → %v", out.Src, out.Dst)
	}
	if back := h.one(0, replyTo(out, packet.TCPSyn|packet.TCPAck)); back.Src != f.Dst || back.Dst != f.Src || back.DstMAC != f.SrcMAC {
		t.Errorf("back: %+v", back)
	}
}

// What is C13 of nat: the balancer's ports tell apart what a client's own do not.
func TestOneClientPortForTwoServicesWithOneBackend(t *testing.T) {
	a, b := fullnatService("a", vip4, 1, 10), fullnatService("b", "192.0.2.11:80", 1, 10)
	h := newHarness(t, 1, a, b)
	for _, vip := range []string{vip4, "192.0.2.11:80"} {
		out := h.one(0, packettest.TCP(client4, vip, packet.TCPSyn))
		if back := h.one(0, replyTo(out, packet.TCPSyn|packet.TCPAck)); back.Src.String() != vip {
			t.Errorf("an answer of %s is from %v", vip, back.Src)
		}
	}
}

func TestSourcesRunOut(t *testing.T) {
	s := fullnatService("web", vip4, 2, 5)
	s.SnatAddresses = sources4
	h := newHarness(t, 1, s)
	clients := func(i int) string { return fmt.Sprintf("198.51.100.7:%d", 20000+i) }
	type ends struct{ src, dst netip.AddrPort }
	seen := map[ends]bool{}
	for i := range 2 * 2 * 5 { // backends, addresses, ports
		out := h.one(0, packettest.TCP(clients(i), vip4, packet.TCPSyn))
		if seen[ends{out.Src, out.Dst}] {
			t.Fatalf("%v → %v a second time", out.Src, out.Dst)
		}
		seen[ends{out.Src, out.Dst}] = true
		h.one(0, replyTo(out, packet.TCPSyn|packet.TCPAck))
		h.one(0, packettest.TCP(clients(i), vip4, packet.TCPAck))
	}
	h.dropped(0, packettest.TCP(clients(100), vip4, packet.TCPSyn), packet.DropNoSource)
	if out := h.one(0, packettest.TCP(clients(3), vip4, packet.TCPAck)); out.Src.Port() < 2000 {
		t.Errorf("a flow that is there: %+v", out)
	}
	if n := h.engine.flows.Stats().Total(); n != 20 {
		t.Errorf("%d flows, want 20", n)
	}
}

// A port rests when its flow has ended, and is used again later.
func TestSourcesRest(t *testing.T) {
	s := fullnatService("web", vip4, 1, 1)
	h := newHarness(t, 1, s)
	later := func(d time.Duration) { h.engine.flows.Expire(h.engine.workers[0].now+uint32(d.Milliseconds()), 1000) }
	out := h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
	other := "198.51.100.8:40000"
	h.dropped(0, packettest.TCP(other, vip4, packet.TCPSyn), packet.DropNoSource)
	later(12 * time.Second) // tcp-syn is 10 s
	if n := h.engine.flows.Stats().Total(); n != 0 {
		t.Fatalf("%d flows when the SYN is long ago", n)
	}
	h.dropped(0, packettest.TCP(other, vip4, packet.TCPSyn), packet.DropNoSource)
	if late := h.one(0, replyTo(out, packet.TCPSyn|packet.TCPAck)); late.Dst != out.Dst || late.Flags&packet.TCPRst == 0 {
		t.Errorf("to an answer that comes late: %+v", late)
	}
	later(12*time.Second + snat.ShortRest)
	if again := h.one(0, packettest.TCP(other, vip4, packet.TCPSyn)); again.Src != out.Src {
		t.Errorf("from %v, want %v", again.Src, out.Src)
	}
}

// A flood of SYNs takes all ports, and keeps nobody out who comes later; but handshakes that
// are under way, and what is established, keep theirs.
func TestFloodOfSYNsTakesNoSources(t *testing.T) {
	s := fullnatService("web", vip4, 1, 40)
	h := newHarness(t, 1, s)
	w := h.engine.workers[0]
	open := func(i int) string {
		client := fmt.Sprintf("198.51.100.7:%d", 20000+i)
		out := h.one(0, packettest.TCP(client, vip4, packet.TCPSyn))
		h.one(0, replyTo(out, packet.TCPSyn|packet.TCPAck))
		h.one(0, packettest.TCP(client, vip4, packet.TCPAck))
		return client
	}
	var friends []string
	for i := range 10 {
		friends = append(friends, open(i))
	}
	sent := 0
	for i := range 100 {
		sent += len(h.pass(0, packettest.TCP(fmt.Sprintf("203.0.113.9:%d", 10000+i), vip4, packet.TCPSyn)))
	}
	if sent < 30 {
		t.Errorf("%d SYNs had a port, want 30 or more", sent)
	}
	w.clock.start = w.clock.start.Add(-time.Second)
	for i := range 5 {
		friends = append(friends, open(100+i))
	}
	for _, client := range friends {
		if out := h.one(0, packettest.TCP(client, vip4, packet.TCPAck)); out.Src.Addr() != sources4[0] {
			t.Errorf("%s: %+v", client, out)
		}
	}
	lent := 0
	for _, p := range h.engine.flows.Ports.Info() {
		lent += p.Lent
	}
	if n := h.engine.flows.Stats().Total(); lent != n || n != 40 {
		t.Errorf("%d ports are lent for %d flows", lent, n)
	}
}

// So it is where a service has many ports, of which another one has one by itself: no port
// is used twice towards it.
func TestFloodOfSYNsAtManyPorts(t *testing.T) {
	s := fullnatService("web", vip4, 1, 40)
	s.First, s.Last, s.Backends[0].Port = 80, 90, 0
	exact := fullnatService("exact", "192.0.2.11:80", 1, 40)
	exact.Backends[0].Port = 85
	h := newHarness(t, 1, s, exact)
	type ends struct{ src, dst netip.AddrPort }
	speaks := map[ends]bool{}
	open := func(i int, to string) {
		t.Helper()
		client := fmt.Sprintf("198.51.100.7:%d", 20000+i)
		out := h.one(0, packettest.TCP(client, to, packet.TCPSyn))
		if e := (ends{out.Src, out.Dst}); speaks[e] {
			t.Errorf("%v → %v a second time", out.Src, out.Dst)
		} else {
			speaks[e] = true
		}
		if back := h.one(0, replyTo(out, packet.TCPSyn|packet.TCPAck)); back.Dst.String() != client || back.Src.String() != to {
			t.Errorf("answer to %s from %v went to %v", client, back.Src, back.Dst)
		}
		h.one(0, packettest.TCP(client, to, packet.TCPAck))
	}
	for i := range 10 {
		open(i, "192.0.2.11:80")
	}
	for i := range 100 {
		h.pass(0, packettest.TCP(fmt.Sprintf("203.0.113.9:%d", 10000+i), "192.0.2.10:80", packet.TCPSyn))
	}
	if h.counted(packet.DropNoSource) == 0 {
		t.Fatalf("the flood has not taken all ports: %v", h.verdicts(0))
	}
	h.later(time.Second)
	for i := range 5 {
		open(100+i, "192.0.2.10:85")
		open(200+i, fmt.Sprintf("192.0.2.10:%d", 81+i%4))
	}
}

// A flow that could not be made leaves no port behind.
func TestNoSourceIsLost(t *testing.T) {
	s := fullnatService("web", vip4, 1, 1000)
	h := newSizedHarness(t, 1, 16, 64, s)
	for i := range 900 {
		h.pass(0, packettest.TCP(fmt.Sprintf("198.51.100.7:%d", 20000+i), vip4, packet.TCPSyn))
	}
	flows := h.engine.flows.Stats().Total()
	lent := 0
	for _, p := range h.engine.flows.Ports.Info() {
		lent += p.Lent
	}
	if lent != flows || flows == 0 {
		t.Errorf("%d ports are lent for %d flows", lent, flows)
	}
}

func TestFullNATChoosesAnew(t *testing.T) {
	s := probed(fullnatService("web", vip4, 2, 100))
	h := newHarness(t, 1, s)
	h.setHealth("web", "a", balancer.StateUp)
	h.setHealth("web", "b", balancer.StateUp)
	out := h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
	was := target(t, &s, out)
	h.setHealth("web", was, balancer.StateDown)
	again := h.one(0, packettest.TCP(client4, vip4, packet.TCPSyn))
	if now := target(t, &s, again); now == was {
		t.Errorf("still to %s, which is down", was)
	}
	if back := h.one(0, replyTo(again, packet.TCPSyn|packet.TCPAck)); back.Dst.String() != client4 {
		t.Errorf("the new one's answer: %+v", back)
	}
}
