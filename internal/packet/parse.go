package packet

import "encoding/binary"

// Sizes of headers, in bytes.
const (
	ethernetLen = 14
	vlanLen     = 4
	ipv4Len     = 20 // without options
	ipv6Len     = 40 // without extension headers
	tcpLen      = 20 // without options
	udpLen      = 8
	icmpLen     = 8
)

// Values of the Ethernet type field.
const (
	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherVLAN = 0x8100 // IEEE 802.1Q
	etherQinQ = 0x88a8 // IEEE 802.1ad
)

// maxVLANs is how many tags may stand in front of the IP header.
const maxVLANs = 2

// TCP flags, as in Packet.TCPFlags.
const (
	TCPFin = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
)

// Packet is what Parse found in one frame. It holds no pointer and stays true
// for the frame as it was parsed: a rewrite changes the frame, not the Packet.
type Packet struct {
	Key Key

	L3, L4   uint16 // offsets of the IP and the transport header in the frame
	End      uint16 // offset behind the IP packet; what follows is padding
	TCPFlags uint8  // 0 unless TCP
	IPv6     bool
	Echo     bool // ICMP or ICMPv6 echo request; Key.SrcPort is its identifier
	Part     Part

	_ [12]byte // to 64, for an array of them: by a shift, and each in a cache line
}

// Hops returns how many hops the packet in frame, which p was found in, may still go:
// its TTL or hop limit as it stands there now. A router drops it at 1.
func (p *Packet) Hops(frame []byte) uint8 {
	if p.IPv6 {
		return (*[ipv6Len]byte)(frame[p.L3:])[7]
	}
	return (*[ipv4Len]byte)(frame[p.L3:])[8]
}

// Opens reports whether the packet asks for a new TCP connection.
func (p *Packet) Opens() bool { return Opens(p.TCPFlags) }

// Opens reports whether a segment with these flags asks for a new connection.
func Opens(tcpFlags uint8) bool { return tcpFlags&(TCPSyn|TCPAck|TCPRst) == TCPSyn }

// Tagged reports whether there are VLAN tags in front of the IP header.
func (p *Packet) Tagged() bool { return p.L3 != ethernetLen }

// Parse reads the headers of an Ethernet frame into p: up to two VLAN tags, IPv4
// with options or IPv6 with extension headers, and TCP, UDP or an echo request.
// It returns Pending for a packet that is understood and a drop reason for any
// other; p is then of no use, but for DropICMP, where all of it but the ports is known: see
// [Quoted], and for DropFragment, where it has what this fragment has: see [Packet.Place]. The
// frame is only read.
//
// Everything that later code relies on is checked here, once: every header lies
// inside the IP packet, the IP packet inside the frame, and the addresses are
// such that an answer has somewhere to go. Checksums are not verified: like a
// router, the balancer passes a wrong one on as wrong as it was. A frame of more
// than 65535 bytes is DropTooBig.
func Parse(frame []byte, p *Packet) Verdict {
	if len(frame) < ethernetLen {
		return DropTruncated
	}
	if len(frame) > 0xffff { // or offsets would not fit into a Packet
		return DropTooBig
	}
	l3 := ethernetLen
	kind := binary.BigEndian.Uint16(frame[12:14])
	for range maxVLANs {
		if kind != etherVLAN && kind != etherQinQ {
			break
		}
		if len(frame) < l3+vlanLen {
			return DropTruncated
		}
		kind = binary.BigEndian.Uint16(frame[l3+2:])
		l3 += vlanLen
	}
	switch kind {
	case etherIPv4:
		return parseIPv4(frame[l3:], uint16(l3), p)
	case etherIPv6:
		return parseIPv6(frame[l3:], uint16(l3), p)
	}
	return DropNotIP
}

// parseTCP reads the TCP header at the start of l4, which ends with the IP packet. The
// addresses in p are known already.
func parseTCP(l4 []byte, p *Packet) Verdict {
	if len(l4) < tcpLen {
		return DropMalformed
	}
	offset := l4[12] >> 4
	p.TCPFlags = l4[13]
	p.ports(l4, ProtoTCP)
	if offset < tcpLen/4 || int(offset)*4 > len(l4) {
		return DropMalformed
	}
	return Pending
}

// parseUDP is parseTCP for UDP (RFC 768). A length of 0 would be an IPv6 jumbogram (RFC
// 2675). What follows a length that is too short are UDP options (RFC 9868).
func parseUDP(l4 []byte, p *Packet) Verdict {
	if len(l4) < udpLen {
		return DropMalformed
	}
	n := int(binary.BigEndian.Uint16(l4[4:6]))
	p.TCPFlags = 0
	p.ports(l4, ProtoUDP)
	if n < udpLen || n > len(l4) {
		return DropMalformed
	}
	return Pending
}

// ports reads the ports, which are in the same place for both.
func (p *Packet) ports(l4 []byte, proto uint32) {
	p.Key.SrcPort = binary.BigEndian.Uint16(l4[0:2])
	p.Key.DstPort = binary.BigEndian.Uint16(l4[2:4])
	p.Key.Proto = proto
	p.Echo, p.Part = false, Whole
}

// Types of ICMP messages (RFC 792, RFC 4443). The code of an echo is 0.
const (
	icmpEchoReply   = 0
	icmpEcho        = 8
	icmpv6Echo      = 128
	icmpv6EchoReply = 129
)

// parseEcho accepts the one ICMP message that is not about another packet: a request of
// the type that it has in the protocol.
func parseEcho(l4 []byte, proto uint32, request uint8, p *Packet) Verdict {
	if len(l4) < icmpLen {
		return DropMalformed
	}
	p.Key.Proto = proto
	p.TCPFlags, p.Part = 0, Whole
	p.Echo = l4[0] == request && l4[1] == 0
	if !p.Echo {
		p.Key.SrcPort, p.Key.DstPort = 0, 0
		return DropICMP
	}
	p.Key.SrcPort = binary.BigEndian.Uint16(l4[4:6])
	p.Key.DstPort = 0
	return Pending
}
