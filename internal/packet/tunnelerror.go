package packet

import "encoding/binary"

// TunnelQuote is what an ICMP error about a tunnel's packet quotes of it: the outer header,
// and of the packet inside what is there.
type TunnelQuote struct {
	Src, Dst Addr // of the outer header
	Inner    Quote
	IPv6     bool // the packet inside is
}

// QuotedTunnel is [Quoted] for an error about a packet with another one inside: IP in IP, or
// behind GRE or UDP as [Encapsulation] has it. Of that one as much must be quoted as Quoted
// wants, which is more than RFC 792 has an error quote, and less than all routers do that
// follow RFC 1812, 4.3.2.3.
func QuotedTunnel(frame []byte, p *Packet) (t TunnelQuote, ok bool) {
	l4 := frame[p.L4:p.End]
	if len(l4) < icmpLen || !isError(l4[0], p.IPv6) {
		return t, false
	}
	outer, ip, read := Quote{L3: p.L4 + icmpLen}, l4[icmpLen:], (*Quote).headerIPv4
	if p.IPv6 {
		read = (*Quote).headerIPv6
	}
	proto, header, ok := read(&outer, ip)
	if !ok {
		return t, false
	}
	t.Src, t.Dst = outer.Key.Src, outer.Key.Dst
	proto, shim, ok := enclosed(proto, ip[header:])
	if !ok {
		return t, false
	}
	t.Inner.L3, t.IPv6 = outer.L4+uint16(shim), proto == protoIPv6
	inner := ip[header+shim:]
	if t.IPv6 {
		return t, t.Inner.readIPv6(inner)
	}
	return t, t.Inner.readIPv4(inner)
}

// enclosed returns what IP packet is inside of one of proto that b is the payload of, and
// where in b it begins.
func enclosed(proto uint8, b []byte) (inner uint8, at int, ok bool) {
	switch proto {
	case protoIPv4, protoIPv6:
		return proto, 0, true
	case protoGRE:
		if len(b) < greLen || b[0]|b[1] != 0 { // no option and version 0 (RFC 2784, 2)
			return 0, 0, false
		}
		switch binary.BigEndian.Uint16(b[2:]) {
		case etherIPv4:
			return protoIPv4, greLen, true
		case etherIPv6:
			return protoIPv6, greLen, true
		}
	case ProtoUDP:
		if len(b) < udpLen+gueLen {
			return 0, 0, false
		}
		switch b[udpLen] >> 4 {
		case 4:
			return protoIPv4, udpLen, true
		case 6:
			return protoIPv6, udpLen, true
		}
		inner = b[udpLen+1]
		return inner, udpLen + gueLen, b[udpLen] == 0 && (inner == protoIPv4 || inner == protoIPv6)
	}
	return 0, 0, false
}

// TunnelError turns an ICMP error about a tunnel's packet, q, into one about the packet
// inside, to its sender and from whom that is for, and returns the new length of the frame; 0
// if none is due, as to one with a wrong checksum, which the one that is made of it would not
// have. The MAC addresses and the Ethernet type are for the caller to write, and p becomes
// what that needs.
//
// What does not fit into the tunnel is too big by that much less. All else that happens on
// the way is for the sender a host that can't be reached: of the tunnel it knows nothing (RFC
// 2003, 4; RFC 2473, 8).
func TunnelError(frame []byte, p *Packet, q *TunnelQuote) int {
	quoted := frame[q.Inner.L3:p.End]
	n := int(binary.BigEndian.Uint16(quoted[2:]))
	if q.IPv6 {
		n = ipv6Len + int(binary.BigEndian.Uint16(quoted[4:]))
	}
	inner := Packet{
		Key: q.Inner.Key, IPv6: q.IPv6,
		L3: p.L3, L4: p.L3 + q.Inner.L4 - q.Inner.L3, End: p.L3 + uint16(min(n, len(quoted))),
	}
	e, due := message{kind: icmpUnreachable, code: icmpHostUnreachable}, true
	if q.IPv6 {
		e = message{kind: icmpv6Unreachable, code: icmpv6AddressUnreachable}
	}
	if mtu, ok := toldMTU(frame[p.L4:p.End], p.IPv6); ok {
		e, due = tooBig(quoted, &Packet{IPv6: q.IPv6}, n, mtu-int(q.Inner.L3-p.L4-icmpLen))
		due = due && mtu != 0 // some old routers do not say (RFC 1191, 5)
	}
	if !due || int(inner.End) < int(inner.L4)+8 || !intact(frame, p) {
		return 0
	}
	copy(frame[p.L3:], quoted)
	*p = inner
	return putError(frame, p, e)
}

// toldMTU returns what a link takes of which the error in l4 tells that it was not enough;
// 0 if it does not say.
func toldMTU(l4 []byte, ipv6 bool) (mtu int, ok bool) {
	if ipv6 {
		return int(min(binary.BigEndian.Uint32(l4[4:]), 0xffff)), l4[0] == icmpv6TooBig
	}
	return int(binary.BigEndian.Uint16(l4[6:])), l4[0] == icmpUnreachable && l4[1] == icmpFragmentation
}

// Codes of the errors that a tunnel's become.
const (
	icmpHostUnreachable      = 1
	icmpv6AddressUnreachable = 3
)
