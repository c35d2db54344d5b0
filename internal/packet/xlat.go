package packet

import "encoding/binary"

// The functions below translate a packet from one family to the other, by RFC 7915. Ends and
// ports come from whoever knows the flow, as in RFC 6146. The new IP header stands right in
// front of the transport, which stays where it is; so the packet grows or shrinks at its
// front. That goes in steps. [XlatGrowth] says whether the packet can be translated at all,
// and by how much it grows. If it does, the caller makes so much room first, and the offsets
// in p move along. [Xlat] translates. If the packet has shrunk, the caller cuts off the front.
// The Ethernet header that stands there is the caller's, too.

// XlatGrowth returns by how many bytes the IP header of a packet grows in the other family;
// it shrinks if that is negative. p is what Parse found: a packet, a fragment, or an echo
// reply, of which it says DropICMP. The verdict is Pending, or why there is no translation:
//
//   - DropTTL: the packet has no hop left.
//   - DropMalformed: the checksum of an IPv4 header is wrong, which in IPv6 nobody could see.
//   - DropProtocol: neither TCP, UDP nor an echo, or a source route that does not end here,
//     which nothing in IPv6 could follow (RFC 7915, 4.1).
//   - DropFragment: a checksum is to be made that covers what other fragments hold: that
//     of ICMP, which in IPv6 has a pseudo-header (1.2), or one of UDP that IPv4 went
//     without (4.5).
//   - DropTiny: a first fragment has not all of the header whose checksum is to follow.
func XlatGrowth(frame []byte, p *Packet) (int, Verdict) {
	ip, l4 := frame[p.L3:p.L4], frame[p.L4:p.End]
	h := readIP(ip, p.IPv6)
	switch {
	case h.hops <= 1:
		return 0, DropTTL
	case !p.IPv6 && fold16(sum(ip)) != 0xffff:
		return 0, DropMalformed
	case !p.IPv6 && sourceRouted(ip[ipv4Len:]):
		return 0, DropProtocol
	}
	first := h.fragment && h.offset == 0
	switch h.proto {
	case ProtoTCP:
		if first && len(l4) < tcpLen {
			return 0, DropTiny
		}
	case ProtoUDP:
		if first && len(l4) < udpLen {
			return 0, DropTiny
		}
		if first && !p.IPv6 && l4[6]|l4[7] == 0 {
			return 0, DropFragment
		}
	case ProtoICMP, ProtoICMPv6:
		if h.more || h.offset != 0 {
			return 0, DropFragment
		}
		if len(l4) < icmpLen || !isEcho(l4, p.IPv6) {
			return 0, DropProtocol
		}
	default:
		return 0, DropProtocol
	}
	return h.sizeIn(!p.IPv6) - len(ip), Pending
}

// Xlat translates a packet to the other family, as a router with one hop less to live, and
// returns the new length of the frame: padding is cut off. [XlatGrowth] has said Pending of
// the packet, and the room that it asked for is there.
//
// to is what the packet is to have: addresses of the other family, ports if this is a whole
// packet or a first fragment, and in an echo its identifier at the end that asked. id is the
// IPv4 identification of a packet that brings none of its own; it must differ from those of
// other packets between the same addresses as long as these may be on their way (RFC 6864).
//
// DSCP and ECN go along, options and extension headers do not. A wrong checksum stays wrong
// by the same difference. Afterwards the offsets and family in p are those of the translated
// packet; its key is still the one that the packet came with.
func Xlat(frame []byte, p *Packet, to *Key, id uint16) int {
	h := readIP(frame[p.L3:p.L4], p.IPv6)
	h.hops--
	switch {
	case !h.fragment:
		h.id = uint32(id)
	case !p.IPv6:
		// RFC 7915, 4.1 has 0 in the upper half: there the source tells packets of two hosts
		// apart. Here many clients have one source, so their addresses must stand for them.
		h.id |= uint32(fold16(sum(p.Key.Src[12:]))) << 16
	}
	l4 := frame[p.L4:p.End]
	switch {
	case h.offset != 0: // there is no header of the transport
	case h.proto == ProtoTCP || h.proto == ProtoUDP:
		if h.proto == ProtoUDP && !p.IPv6 && !h.fragment {
			sumUDP(frame[p.L3:], l4)
		}
		replaceEnds(l4, h.proto, &p.Key, to) // length and protocol are the same in both pseudo-headers
	default:
		p.xlatEcho(l4, to)
	}
	start := int(p.L4) - h.sizeIn(!p.IPv6)
	h.put(frame[start:p.L4], !p.IPv6, to, len(l4))
	p.L3, p.IPv6 = uint16(start), !p.IPv6
	return int(p.End)
}

// XlatMaxGrowth is by how much a fragment of IPv4 becomes longer at most.
const XlatMaxGrowth = ipv6Len + fragmentLen - ipv4Len

// SumUDP makes the checksum of a whole packet, which p was found in, if it is a UDP datagram
// of IPv4 that has none: its fragments can't be translated without.
func SumUDP(frame []byte, p *Packet) {
	if p.Key.Proto == ProtoUDP && p.Part == Whole && !p.IPv6 {
		sumUDP(frame[p.L3:], frame[p.L4:p.End])
	}
}

// sumUDP makes the checksum of the datagram l4 in the IPv4 packet ip, if it has none: in IPv6
// there must be one (RFC 7915, 4.5).
func sumUDP(ip, l4 []byte) {
	if l4[6]|l4[7] != 0 {
		return
	}
	l4 = l4[:binary.BigEndian.Uint16(l4[4:])]
	setSum(l4[6:8], l4, pseudoHeader(ip, false, ProtoUDP, len(l4)))
	if l4[6]|l4[7] == 0 {
		l4[6], l4[7] = 0xff, 0xff
	}
}

// replaceEnds writes the ports of to into the header of TCP or UDP of a packet, or into as
// much of it as an ICMP error quotes, and lets the checksum follow these and the addresses,
// which were those of was. That an IPv4 address is in a key as an IPv4-mapped one adds
// 0xffff to the sum, and no difference.
func replaceEnds(l4 []byte, proto uint8, was, to *Key) {
	change := changed(&was.Src, &to.Src) + changed(&was.Dst, &to.Dst)
	change += rewritePort((*[2]byte)(l4[0:]), to.SrcPort) + rewritePort((*[2]byte)(l4[2:]), to.DstPort)
	switch {
	case proto == ProtoUDP:
		updateUDP((*[2]byte)(l4[6:]), change)
	case len(l4) >= 18:
		update((*[2]byte)(l4[16:]), change)
	}
}

// isEcho reports whether an ICMP or ICMPv6 message is an echo request or reply.
func isEcho(l4 []byte, ipv6 bool) bool {
	request, reply := uint8(icmpEcho), uint8(icmpEchoReply)
	if ipv6 {
		request, reply = icmpv6Echo, icmpv6EchoReply
	}
	return (l4[0] == request || l4[0] == reply) && l4[1] == 0
}

// xlatEcho translates an echo request or reply (RFC 7915, 4.2 and 5.2). Only the checksum of
// ICMPv6 covers a pseudo-header.
func (p *Packet) xlatEcho(l4 []byte, to *Key) {
	was := sum(l4[:icmpLen])
	over := to
	if p.IPv6 {
		over = &p.Key
	}
	change := sum(over.Src[:]) + sum(over.Dst[:]) + ProtoICMPv6 + uint64(len(l4))
	switch l4[0] {
	case icmpEcho, icmpv6Echo:
		l4[0] ^= icmpEcho ^ icmpv6Echo
		binary.BigEndian.PutUint16(l4[4:], to.SrcPort)
	default:
		l4[0] ^= icmpEchoReply ^ icmpv6EchoReply
		binary.BigEndian.PutUint16(l4[4:], to.DstPort)
	}
	if p.IPv6 {
		change = uint64(^fold16(change))
	}
	change += uint64(^fold16(was)) + sum(l4[:icmpLen])
	field := l4[2:4]
	binary.BigEndian.PutUint16(field, ^fold16(uint64(^binary.BigEndian.Uint16(field))+change))
}

// sourceRouted reports whether IPv4 options hold a source route that does not end here: its
// pointer is not behind it yet (RFC 791, 3.1). Options that are malformed hold none.
func sourceRouted(options []byte) bool {
	const end, nop, loose, strict = 0, 1, 131, 137
	for len(options) > 2 && options[0] != end {
		if options[0] == nop {
			options = options[1:]
			continue
		}
		kind, size, pointer := options[0], options[1], options[2]
		if kind == loose || kind == strict {
			return pointer <= size
		}
		if size < 2 || int(size) > len(options) {
			return false
		}
		options = options[size:]
	}
	return false
}
