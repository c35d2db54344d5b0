package replay

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/internal/capture"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/internal/packet/packettest"
)

// oracle says what a balancer of some services sends, slowly and by the frames' fields
// alone: it knows nothing of the code under test. Frames are written from their fields,
// checksums anew (package packettest, which is gopacket's).
type oracle struct {
	services []oracleService
	flows    map[string]*oracleFlow // by both directions' ends
	id       uint16                 // of the last IPv4 packet that was an IPv6 one
}

type oracleService struct {
	vip      netip.AddrPort
	udp      bool
	direct   bool           // replies do not come back
	tunnel   string         // the mode of one that is in a tunnel
	source   netip.AddrPort // fullnat: the one that there is
	backends []oracleBackend
	turn     int // round-robin
}

type oracleBackend struct {
	at    netip.AddrPort
	mac   packet.MAC
	vlans []uint16
}

type oracleFlow struct {
	s      *oracleService
	to     *oracleBackend
	client packettest.Frame // its last request
}

func ends(f *packettest.Frame) string { return fmt.Sprint(f.Proto, f.Src, f.Dst) }

// sends returns what is sent for a frame, and of a tunnel the way; none: nothing is.
func (o *oracle) sends(f packettest.Frame) ([]packettest.Frame, *oracleBackend) {
	if flow := o.flows[ends(&f)]; flow != nil && flow.to.at.Addr() == f.Src.Addr() { // a reply
		f.Src, f.Dst = flow.s.vip, flow.client.Src
		f.SrcMAC, f.DstMAC, f.VLANs = packettest.BalancerMAC, flow.client.SrcMAC, flow.client.VLANs
		f.TTL--
		return []packettest.Frame{o.translated(f, flow.to.at.Addr().Is4())}, nil
	}
	i := slices.IndexFunc(o.services, func(s oracleService) bool {
		return s.vip == f.Dst && f.Proto == map[bool]uint8{false: packet.ProtoTCP, true: packet.ProtoUDP}[s.udp]
	})
	if i < 0 {
		return o.answers(f), nil
	}
	s := &o.services[i]
	flow := o.flows[ends(&f)]
	if flow == nil {
		flow = &oracleFlow{s: s, to: &s.backends[s.turn%len(s.backends)]}
		s.turn++
		o.flows[ends(&f)] = flow
		back := packettest.Frame{Proto: f.Proto, Src: flow.to.at, Dst: f.Src}
		if s.source.IsValid() {
			back.Dst = s.source
		}
		o.flows[ends(&back)] = flow
	}
	flow.client = f
	f.SrcMAC, f.DstMAC, f.VLANs = packettest.BalancerMAC, flow.to.mac, flow.to.vlans
	if s.tunnel != "" {
		return []packettest.Frame{f}, flow.to
	}
	f.TTL--
	if !s.direct {
		f.Dst = flow.to.at
	}
	if s.source.IsValid() {
		f.Src = s.source
	}
	return []packettest.Frame{o.translated(f, s.vip.Addr().Is4())}, nil
}

// translated returns a frame that has new ends, and was one of IPv4 or not: in another family
// it has nothing of what only the first one knows (RFC 7915, 4.1 and 5.1).
func (o *oracle) translated(f packettest.Frame, was4 bool) packettest.Frame {
	switch {
	case was4 == f.Is4():
	case was4:
		f.ID, f.DF, f.IPOptions, f.NoChecksum = 0, false, nil, false
	default: // and it is small, so that routers may cut it
		o.id++
		f.ID = o.id
	}
	return f
}

// enclosed returns frame f inside of a packet to a backend: by RFC 2003, RFC 2473 and RFC
// 4213, by RFC 2784, or by the variant 1 of draft-ietf-intarea-gue. What differs by flow is
// for the balancer to choose, and here as its hash is.
func enclosed(f *packettest.Frame, mode string, to *oracleBackend) []byte {
	frame := f.Bytes()
	link := 14 + 4*len(f.VLANs)
	inner, hash := frame[link:], func() uint64 { k := f.Key(); return k.Hash(engine.OfflineSeed) }()
	protocol, etherType, df, id := byte(4), uint16(0x0800), f.DF, f.ID
	if !f.Is4() {
		protocol, etherType, df, id = 41, 0x86dd, true, 0
	}
	var shim []byte
	switch mode {
	case "gre":
		protocol, shim = 47, binary.BigEndian.AppendUint16([]byte{0, 0}, etherType)
	case "gue":
		protocol = 17
		for _, v := range []uint16{0xc000 | uint16(hash), 6080, uint16(8 + len(inner)), 0} {
			shim = binary.BigEndian.AppendUint16(shim, v)
		}
	}
	n := len(shim) + len(inner)
	var outer []byte
	if to.at.Addr().Is4() {
		outer = binary.BigEndian.AppendUint16([]byte{0x45, f.TOS}, uint16(20+n))
		outer = binary.BigEndian.AppendUint16(outer, id^uint16(hash>>16))
		outer = append(outer, map[bool]byte{true: 0x40}[df], 0, 64, protocol, 0, 0)
		outer = append(append(outer, 10, 0, 0, 5), to.at.Addr().AsSlice()...)
		if sum := ^packettest.Sum(outer); sum != 0xffff { // no sum of a header is 0 (RFC 1624)
			binary.BigEndian.PutUint16(outer[10:], sum)
		}
		etherType = 0x0800
	} else {
		outer = binary.BigEndian.AppendUint32(nil, 6<<28|uint32(f.TOS)<<20|uint32(hash)&0xfffff)
		outer = append(binary.BigEndian.AppendUint16(outer, uint16(n)), protocol, 64)
		source := netip.MustParseAddr("2001:db8::5")
		outer = append(append(outer, source.AsSlice()...), to.at.Addr().AsSlice()...)
		etherType = 0x86dd
	}
	binary.BigEndian.PutUint16(frame[link-2:], etherType)
	return slices.Concat(frame[:link], outer, shim, inner)
}

// answers returns the answer to an echo request for a service's address.
func (o *oracle) answers(f packettest.Frame) []packettest.Frame {
	ours := slices.ContainsFunc(o.services, func(s oracleService) bool { return s.vip.Addr() == f.Dst.Addr() })
	reply := map[uint8]uint8{8: 0, 128: 129}
	kind, request := reply[f.Type]
	if !ours || !request || f.Proto != packet.ProtoICMP && f.Proto != packet.ProtoICMPv6 {
		return nil
	}
	f.Type, f.TTL = kind, 64
	f.Src, f.Dst = f.Dst, f.Src
	f.SrcMAC, f.DstMAC = f.DstMAC, f.SrcMAC
	return []packettest.Frame{f}
}

// scene is a config and what the oracle knows of it.
type scene struct {
	name, config string
	backends     int // of each service
	most         int // clients that it can have
	oracle       oracle
}

// scenes returns one for each mode, of both families, and one of full NAT between these; some
// backends are behind VLANs. Which source port a flow gets is no oracle's to know: full NAT has one, and so one
// client a backend.
func scenes() []scene {
	list := []scene{{name: "nat", backends: 3, most: 600}, {name: "dsr", backends: 3, most: 600}, {name: "fullnat", backends: 40, most: 40}, {name: "families", backends: 40, most: 40}}
	for _, tunnel := range []string{"ipip", "gue", "gre"} {
		list = append(list, scene{name: tunnel, backends: 6, most: 600})
	}
	for i := range list {
		s := &list[i]
		s.oracle.flows = map[string]*oracleFlow{}
		s.config = "interface: eth0\nneighbours:\n"
		for i := range s.backends {
			s.config += fmt.Sprintf("  10.0.0.%d: {mac: 02:00:00:00:01:%02x, tags: %s}\n", 11+i, i, [...]string{"[]", "[7]", "[802.1ad:8, 9]"}[i%3])
			s.config += fmt.Sprintf("  2001:db8::%d: 02:00:00:00:06:%02x\n", 11+i, i)
		}
		s.config += "services:\n"
		for i, vip := range []string{"192.0.2.10", "2001:db8:2::10"} {
			for _, udp := range []bool{false, true} {
				s.add(netip.MustParseAddr(vip), i == 1, udp)
			}
		}
	}
	return list
}

func (s *scene) add(vip netip.Addr, six, udp bool) {
	mode := s.name
	if mode == "families" {
		mode, six = "fullnat", !six
	}
	o := oracleService{vip: netip.AddrPortFrom(vip, 80), udp: udp, direct: mode != "nat" && mode != "fullnat"}
	port := uint16(8080)
	if o.direct {
		port = 80
	}
	protocol, more := map[bool]string{false: "tcp", true: "udp"}[udp], ""
	if mode == "fullnat" {
		o.source = netip.MustParseAddrPort(map[bool]string{false: "10.0.0.5:40000", true: "[2001:db8::5]:40000"}[six])
		more = fmt.Sprintf(", snat-addresses: [%q], snat-ports: 40000", o.source.Addr())
	} else if o.direct && mode != "dsr" {
		o.tunnel = mode
		more = `, tunnel-source: [10.0.0.5, "2001:db8::5"]`
	}
	s.config += fmt.Sprintf("  - {name: %s-%s, address: %q, port: 80, protocol: %s, mode: %s%s, health: {type: none}, backends: [", protocol, vip, vip, protocol, mode, more)
	for i := range s.backends {
		b := oracleBackend{at: netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:%d", 11+i, port)), mac: packet.MAC{2, 0, 0, 0, 1, byte(i)}}
		b.vlans = [][]uint16{nil, {7}, {8, 9}}[i%3]
		if six != (o.tunnel != "" && i%2 == 1) { // in tunnels of either family
			b = oracleBackend{at: netip.MustParseAddrPort(fmt.Sprintf("[2001:db8::%d]:%d", 11+i, port)), mac: packet.MAC{2, 0, 0, 0, 6, byte(i)}}
		}
		o.backends = append(o.backends, b)
		s.config += fmt.Sprintf("{name: b%d, address: %q, port: %d}, ", i, b.at.Addr(), port)
	}
	s.config += "]}\n"
	s.oracle.services = append(s.oracle.services, o)
}

// script is a capture in the making: what comes in, and what the oracle says goes out.
type script struct {
	oracle  *oracle
	random  *rand.Rand
	in, out []capture.Packet
	now     time.Time
}

// send has a frame come in, and returns what goes out.
func (s *script) send(f packettest.Frame) []packettest.Frame {
	s.now = s.now.Add(time.Duration(s.random.IntN(500)) * time.Microsecond) // no flow is idle for long, and no budget used up
	b := f.Bytes()
	s.in = append(s.in, capture.Packet{Time: s.now, Data: b, Length: len(b)})
	sent, to := s.oracle.sends(f)
	for i := range sent {
		b := sent[i].Bytes()
		if to != nil {
			b = enclosed(&sent[i], s.oracle.services[0].tunnel, to)
		}
		s.out = append(s.out, capture.Packet{Time: s.now, Data: b, Length: len(b)})
	}
	return sent
}

// play has clients of each service talk, in turns, and others go by.
func (s *script) play(talks int) {
	list := make([]*talk, talks)
	for i := range list {
		list[i] = newTalk(s, i)
	}
	for len(list) > 0 {
		i := s.random.IntN(len(list))
		if !list[i].step(s) {
			list = slices.Delete(list, i, i+1)
		}
		switch s.random.IntN(20) {
		case 0: // somebody else's
			s.send(packettest.TCP("198.51.100.7:40000", "203.0.113.1:80", packet.TCPSyn))
		case 1:
			s.send(packettest.UDP("[2001:db8:100::7]:40000", "[2001:db8:300::1]:53", "question"))
		case 2:
			s.send(packettest.Echo("198.51.100.7", "192.0.2.10", uint16(s.random.Uint32())))
		case 3:
			s.send(packettest.Echo("2001:db8:100::7", "2001:db8:2::10", uint16(s.random.Uint32())))
		}
	}
}

// talk is one client's connection or exchange, and how far it is.
type talk struct {
	service    *oracleService
	request    packettest.Frame // the client's, as it would be without flags
	seq, ack   uint32           // the client's next, and the backend's
	backend    packettest.Frame // the last that a backend was sent
	steps      int
	fromClient bool
}

func newTalk(s *script, i int) *talk {
	service := &s.oracle.services[s.random.IntN(len(s.oracle.services))]
	client := fmt.Sprintf("198.51.%d.%d:%d", 100+i/250, 1+i%250, 1024+s.random.IntN(60000))
	if service.vip.Addr().Is6() {
		client = fmt.Sprintf("[2001:db8:100::%x]:%d", i+1, 1024+s.random.IntN(60000))
	}
	t := &talk{service: service, seq: s.random.Uint32(), ack: s.random.Uint32(), fromClient: true}
	if service.udp {
		t.request = packettest.UDP(client, service.vip.String(), "")
	} else {
		t.request = packettest.TCP(client, service.vip.String(), 0)
	}
	t.request.SrcMAC[5] = byte(1 + s.random.IntN(3))
	t.request.TTL = uint8(2 + s.random.IntN(200))
	t.request.TOS = uint8(s.random.Uint32())
	if s.random.IntN(4) == 0 {
		t.request.VLANs = []uint16{uint16(1 + s.random.IntN(4000))}
	}
	if !service.vip.Addr().Is6() {
		t.request.DF = s.random.IntN(2) == 0
		if s.random.IntN(4) == 0 {
			t.request.IPOptions = []byte{1, 1, 1, 0}
		}
	}
	return t
}

// step sends the next packet; false: it was the last.
func (t *talk) step(s *script) bool {
	f := t.request
	if !t.fromClient {
		f = packettest.Frame{DstMAC: packettest.BalancerMAC, SrcMAC: t.backend.DstMAC, VLANs: t.backend.VLANs, Src: t.backend.Dst, Dst: t.backend.Src, Proto: f.Proto, TTL: 64}
	}
	f.ID = uint16(s.random.Uint32())
	if t.service.udp {
		f.Payload = fmt.Appendf(nil, "message %d", t.steps)
		if f.Is4() && s.random.IntN(4) == 0 {
			f.NoChecksum = true
		}
	} else {
		f.Window, f.Seq, f.Ack, f.Flags = 64240, t.seq, t.ack, packet.TCPAck
		if !t.fromClient {
			f.Seq, f.Ack = t.ack, t.seq
		}
		switch {
		case t.steps == 0:
			f.Flags, f.Ack = packet.TCPSyn, 0
			t.seq++
		case t.steps == 1 && !t.fromClient:
			f.Flags = packet.TCPSyn | packet.TCPAck
			t.ack++
		case t.steps > 10:
			f.Flags |= packet.TCPFin
		case t.steps > 2:
			f.Flags |= packet.TCPPsh
			f.Payload = make([]byte, s.random.IntN(100))
			for i := range f.Payload {
				f.Payload[i] = byte(s.random.Uint32())
			}
			n := uint32(len(f.Payload))
			if t.fromClient {
				t.seq += n
			} else {
				t.ack += n
			}
		}
	}
	if sent := s.send(f); t.fromClient && len(sent) == 1 {
		t.backend = sent[0]
	}
	t.steps++
	t.fromClient = t.service.direct || !t.fromClient
	return t.steps <= 12
}

// newScript returns the scene's capture, which is always the same.
func (s *scene) script(talks int) *script {
	script := &script{oracle: &s.oracle, random: rand.New(rand.NewPCG(1, 2)), now: time.Unix(1_700_000_000, 0).UTC()}
	script.play(talks)
	return script
}

// TestOracle: the oracle itself, on what can be seen at a glance.
func TestOracle(t *testing.T) {
	s := scenes()[0]
	request := packettest.TCP("198.51.100.7:40000", "192.0.2.10:80", packet.TCPSyn)
	for i := range 4 {
		request.Src = netip.AddrPortFrom(request.Src.Addr(), uint16(1000+i))
		sent, _ := s.oracle.sends(request)
		if want := netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:8080", 11+i%3)); len(sent) != 1 || sent[0].Dst != want || sent[0].TTL != 63 {
			t.Errorf("request %d: %+v, want to %v", i, sent, want)
		}
	}
	sent, _ := s.oracle.sends(packettest.TCP("10.0.0.12:8080", "198.51.100.7:1001", packet.TCPSyn|packet.TCPAck))
	if len(sent) != 1 || sent[0].Src != s.oracle.services[0].vip || sent[0].DstMAC != packettest.ClientMAC {
		t.Errorf("reply: %+v", sent)
	}
	if sent, _ := s.oracle.sends(packettest.TCP("10.0.0.12:8080", "198.51.100.7:1000", packet.TCPAck)); len(sent) != 0 {
		t.Errorf("nobody's reply: %+v", sent)
	}
}
