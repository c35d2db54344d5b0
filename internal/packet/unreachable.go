package packet

// Destination unreachable, port unreachable (RFC 792; RFC 4443, 3.1).
const (
	icmpUnreachable       = 3
	icmpPortUnreachable   = 3
	icmpv6Unreachable     = 1
	icmpv6PortUnreachable = 4
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
	if p.Echo || !answerable(frame, p) {
		return 0
	}
	limit, proto, kind, code := icmpErrorMax, uint8(ProtoICMP), uint8(icmpUnreachable), uint8(icmpPortUnreachable)
	if p.IPv6 {
		limit, proto, kind, code = icmpv6ErrorMax, ProtoICMPv6, icmpv6Unreachable, icmpv6PortUnreachable
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
