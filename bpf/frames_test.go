package bpf

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// The network of the tests: services, backends, the balancer's own addresses and
// others.
const (
	client4, client6   = "198.51.100.7", "2001:db8:100::7"
	own4, own6         = "198.51.100.1", "2001:db8:100::1"   // local, and a service on port 443
	inside4, inside6   = "10.0.0.1", "2001:db8:10::1"        // local
	vip4, vip6         = "192.0.2.10", "2001:db8:2::10"      // TCP 80, 8000-8099; UDP 7777
	any4, any6         = "192.0.2.11", "2001:db8:2::11"      // TCP, any port
	backend4, backend6 = "10.0.0.11", "2001:db8:10::11"      // TCP 8080, UDP 7777
	free4, free6       = "10.0.0.12", "2001:db8:10::12"      // TCP, any port
	some4, some6       = "10.0.0.13", "2001:db8:10::13"      // TCP 8000-8099
	other4, other6     = "203.0.113.99", "2001:db8:9999::99" // nothing of ours
)

// The balancer's MAC addresses, and others.
var (
	ownMAC    = [6]byte{2, 0, 0, 0, 0, 1}
	vrrpMAC   = [6]byte{0, 0, 0x5e, 0, 1, 10}
	otherMAC  = [6]byte{2, 0, 0, 0, 0, 9}
	groupMAC  = [6]byte{3, 0, 0, 0, 0, 1}
	broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func testSteering() Steering {
	s := Steering{MACs: [][6]byte{ownMAC, vrrpMAC}, Ephemeral: Ports{32768, 60999}}
	for _, f := range [][]string{{vip4, any4, own4, backend4, free4, some4, inside4}, {vip6, any6, own6, backend6, free6, some6, inside6}} {
		vip, every, own, backend, free, some, inside := ip(f[0]), ip(f[1]), ip(f[2]), ip(f[3]), ip(f[4]), ip(f[5]), ip(f[6])
		s.Services = append(s.Services,
			Service{vip, TCP, 80, 80}, Service{vip, TCP, 8000, 8099}, Service{vip, UDP, 7777, 7777},
			Service{every, TCP, 0, 65535}, Service{own, TCP, 443, 443})
		s.Replies = append(s.Replies,
			Endpoint{backend, TCP, 8080, 8080}, Endpoint{backend, UDP, 7777, 7777}, Endpoint{free, TCP, 0, 65535},
			Endpoint{some, TCP, 8000, 8099})
		s.Tunnels = append(s.Tunnels, TunnelEnd{Address: backend, Protocol: 41}, TunnelEnd{Address: backend, Protocol: 47}, TunnelEnd{backend, UDP, 6080})
		s.Local = append(s.Local, own, inside)
	}
	return s
}

// is4 tells the two families' addresses apart.
func is4(address string) bool { return ip(address).Is4() }

// packet returns an IP packet with that transport header and payload.
func packet(src, dst string, protocol layers.IPProtocol, l ...gopacket.SerializableLayer) []byte {
	var network gopacket.SerializableLayer
	var checked gopacket.NetworkLayer
	if is4(src) {
		h := &layers.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: ip(src).AsSlice(), DstIP: ip(dst).AsSlice()}
		network, checked = h, h
	} else {
		h := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: ip(src).AsSlice(), DstIP: ip(dst).AsSlice()}
		network, checked = h, h
	}
	for _, l := range l {
		if c, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			must(c.SetNetworkLayerForChecksum(checked))
		}
	}
	return serialize(append([]gopacket.SerializableLayer{network}, l...)...)
}

func serialize(l ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	must(gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, l...))
	return b.Bytes()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func tcp(src, dst string, sport, dport uint16) []byte {
	return packet(src, dst, layers.IPProtocolTCP, &layers.TCP{SrcPort: layers.TCPPort(sport),
		DstPort: layers.TCPPort(dport), SYN: true, Window: 1024}, gopacket.Payload("hello"))
}

func udp(src, dst string, sport, dport uint16) []byte {
	return packet(src, dst, layers.IPProtocolUDP, &layers.UDP{SrcPort: layers.UDPPort(sport),
		DstPort: layers.UDPPort(dport)}, gopacket.Payload("a payload of 24 bytes..."))
}

// icmp returns an ICMP or ICMPv6 message, by the family of the addresses; rest is
// what follows its eight bytes.
func icmp(src, dst string, kind uint8, rest ...byte) []byte {
	if is4(src) {
		return packet(src, dst, layers.IPProtocolICMPv4,
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, 0)}, gopacket.Payload(rest))
	}
	return packet(src, dst, layers.IPProtocolICMPv6, // gopacket's header has no second word
		&layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}, gopacket.Payload(append(make([]byte, 4), rest...)))
}

// quoting returns an error about the packet, of which it quotes n bytes of what
// follows the address.
func quoting(src, dst string, kind uint8, quoted []byte, n int) []byte {
	header := 20
	if !is4(src) {
		header = 40
	}
	return icmp(src, dst, kind, quoted[:min(len(quoted), header+n)]...)
}

// other returns a packet of another protocol.
func other(src, dst string, protocol layers.IPProtocol) []byte {
	return packet(src, dst, protocol, gopacket.Payload("some bytes that look like no ports"))
}

// options gives an IPv4 packet n bytes of options.
func options(p []byte, n int) []byte {
	q := append([]byte(nil), p[:20]...)
	for range n {
		q = append(q, 1) // no operation
	}
	q = append(q, p[20:]...)
	q[0] = 4<<4 | byte(5+n/4)
	setLength(q)
	return q
}

// header is an IPv6 extension header of 8*(words+1) bytes.
type header struct{ kind, words byte }

const (
	hopByHop, routing, fragmented, destination = 0, 43, 44, 60
	authentication, nothing                    = 51, 59
)

// extended gives an IPv6 packet extension headers.
func extended(p []byte, chain ...header) []byte {
	q := append([]byte(nil), p[:40]...)
	next := &q[6]
	transport := *next
	for _, h := range chain {
		*next = h.kind
		e := make([]byte, 8*(int(h.words)+1))
		e[1] = h.words
		at := len(q)
		q = append(q, e...)
		next = &q[at]
	}
	*next = transport
	q = append(q, p[40:]...)
	setLength(q)
	return q
}

func repeat(h header, n int) []header {
	var chain []header
	for range n {
		chain = append(chain, h)
	}
	return chain
}

// fragment returns the part of a packet from byte from to byte to of what follows
// its IP header (for IPv6: that follows the chain, if any).
func fragment(p []byte, from, to int, chain ...header) []byte {
	var q []byte
	more := to < len(body(p))
	if p[0]>>4 == 4 {
		q = append(q, p[:20]...)
		binary.BigEndian.PutUint16(q[6:], uint16(from/8))
		if more {
			q[6] |= 0x20
		}
		q = append(q, body(p)[from:to]...)
		setLength(q)
		return q
	}
	word := uint16(from)
	if more {
		word |= 1
	}
	q = append(q, p[:40]...)
	q = append(q, body(p)[from:to]...)
	q = extended(q, append(chain, header{kind: fragmented})...)
	at := len(q) - (to - from) - 8
	binary.BigEndian.PutUint16(q[at+2:], word)
	binary.BigEndian.PutUint32(q[at+4:], 0x12345678)
	return q
}

func body(p []byte) []byte {
	if p[0]>>4 == 4 {
		return p[20:]
	}
	return p[40:]
}

// frame puts Ethernet and the VLAN tags around a packet.
func frame(p []byte, tags ...layers.EthernetType) []byte {
	inner := layers.EthernetTypeIPv4
	if p[0]>>4 == 6 {
		inner = layers.EthernetTypeIPv6
	}
	types := append(tags[:len(tags):len(tags)], inner)
	l := []gopacket.SerializableLayer{&layers.Ethernet{
		SrcMAC: []byte{2, 0, 0, 0, 0, 7}, DstMAC: ownMAC[:], EthernetType: types[0],
	}}
	for i := range tags {
		l = append(l, &layers.Dot1Q{VLANIdentifier: uint16(100 + i), Type: types[i+1]})
	}
	f := serialize(append(l, gopacket.Payload(p))...)
	return f[:14+4*len(tags)+len(p)] // gopacket pads to 60
}

// sendTo makes a frame one to that MAC address.
func sendTo(mac [6]byte, frame []byte) []byte { return append(mac[:], frame[6:]...) }

// TestFrames checks the builders above against gopacket's reading.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name  string
		frame []byte
		want  gopacket.LayerType
	}{
		{"tcp", frame(tcp(client4, vip4, 1, 80)), layers.LayerTypeTCP},
		{"udp6", frame(udp(client6, vip6, 1, 7777), layers.EthernetTypeDot1Q, layers.EthernetTypeDot1Q), layers.LayerTypeUDP},
		{"options", frame(options(tcp(client4, vip4, 1, 80), 40)), layers.LayerTypeTCP},
		{"chain", frame(extended(tcp(client6, vip6, 1, 80), header{hopByHop, 0}, header{destination, 3})), layers.LayerTypeTCP},
		{"echo", frame(icmp(client4, vip4, 8)), layers.LayerTypeICMPv4},
		{"echo6", frame(icmp(client6, vip6, 128)), layers.LayerTypeICMPv6},
		{"fragment", frame(fragment(udp(client4, vip4, 1, 7777), 8, 16)), gopacket.LayerTypeFragment},
		{"fragment6", frame(fragment(udp(client6, vip6, 1, 7777), 8, 16)), layers.LayerTypeIPv6Fragment},
	} {
		p := gopacket.NewPacket(c.frame, layers.LayerTypeEthernet, gopacket.Default)
		if p.Layer(c.want) == nil || p.ErrorLayer() != nil {
			t.Errorf("%s: no %s, or an error (%v), in:\n%s", c.name, c.want, p.ErrorLayer(), p.Dump())
		}
	}
}
