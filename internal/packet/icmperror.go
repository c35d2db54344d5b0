package packet

// Types and codes of the errors that are sent here (RFC 792; RFC 4443, 3.1 and 3.3).
const (
	icmpUnreachable       = 3
	icmpPortUnreachable   = 3
	icmpTimeExceeded      = 11 // code 0: in transit
	icmpv6Unreachable     = 1
	icmpv6PortUnreachable = 4
	icmpv6TimeExceeded    = 3 // code 0: hop limit exceeded in transit
)

// An ICMP error quotes as much of the packet as fits into a datagram that every
// path carries: RFC 1812, 4.3.2.3 and RFC 4443, 2.4 (c).
const (
	icmpErrorMax   = 576
	icmpv6ErrorMax = 1280
)

// Unreachable turns a packet into the ICMP port unreachable that answers it and
// returns the new length of the frame, 0 if no answer is due. The frame becomes
// longer in most cases: its capacity says how far. If that is not enough for the
// packet's IP header and 8 bytes more, there is no answer.
func Unreachable(frame []byte, p *Packet) int {
	if p.Echo {
		return 0
	}
	if p.IPv6 {
		return icmpError(frame, p, icmpv6Unreachable, icmpv6PortUnreachable)
	}
	return icmpError(frame, p, icmpUnreachable, icmpPortUnreachable)
}

// TimeExceeded is Unreachable for a packet whose TTL or hop limit ends here. Its source
// is the address that the packet was for: a balancer has one on each link at most, and
// to the client the service begins here.
func TimeExceeded(frame []byte, p *Packet) int {
	if p.IPv6 {
		return icmpError(frame, p, icmpv6TimeExceeded, 0)
	}
	return icmpError(frame, p, icmpTimeExceeded, 0)
}

// icmpError turns a packet into the ICMP or ICMPv6 error about it.
func icmpError(frame []byte, p *Packet, kind, code uint8) int {
	if !answerable(frame, p) {
		return 0
	}
	limit, proto := icmpErrorMax, uint8(ProtoICMP)
	if p.IPv6 {
		limit, proto = icmpv6ErrorMax, ProtoICMPv6
	}
	l3, start := int(p.L3), p.answerAt()+icmpLen
	room := min(l3+limit, cap(frame)) - start
	quoted := min(int(p.End)-l3, room)
	if quoted < int(p.L4)-l3+8 {
		return 0
	}
	frame = frame[:start+quoted]
	// The quote overlaps the original, and turn needs the header that stays behind.
	copy(frame[start:], frame[l3:l3+quoted])
	l4 := turn(frame, p, proto, icmpLen+quoted)
	clear(l4[4:icmpLen]) // unused
	setICMP(frame, p, l4, kind, code)
	return len(frame)
}
