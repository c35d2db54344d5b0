package packet

import "encoding/binary"

// Types and codes of the errors that are sent here (RFC 792, RFC 1191; RFC 4443, 3.1 to 3.3).
const (
	icmpUnreachable       = 3
	icmpPortUnreachable   = 3
	icmpFragmentation     = 4  // needed, but DF is set
	icmpTimeExceeded      = 11 // code 0: in transit
	icmpv6Unreachable     = 1
	icmpv6PortUnreachable = 4
	icmpv6TooBig          = 2
	icmpv6TimeExceeded    = 3 // code 0: hop limit exceeded in transit
)

// Every link carries packets of so many bytes (RFC 791, 3.2; RFC 8200, 5). Who is told of
// less does not believe it, or can't do anything about it.
const (
	ipv4MinMTU = 68
	ipv6MinMTU = 1280
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
		return icmpError(frame, p, message{icmpv6Unreachable, icmpv6PortUnreachable, 0})
	}
	return icmpError(frame, p, message{icmpUnreachable, icmpPortUnreachable, 0})
}

// TimeExceeded is Unreachable for a packet whose TTL or hop limit ends here. Its source
// is the address that the packet was for: a balancer has one on each link at most, and
// to the client the service begins here.
func TimeExceeded(frame []byte, p *Packet) int {
	if p.IPv6 {
		return icmpError(frame, p, message{icmpv6TimeExceeded, 0, 0})
	}
	return icmpError(frame, p, message{icmpTimeExceeded, 0, 0})
}

// TooBig is Unreachable for a packet that is larger than mtu, counted from the IP header
// on: its sender is told to send smaller ones, by "fragmentation needed" (RFC 1191) or
// "packet too big" (RFC 4443, 3.2). No answer is due if it allows to be fragmented on the
// way, or if it is as small as any link has to carry.
func TooBig(frame []byte, p *Packet, mtu int) int {
	e, due := tooBig(frame, p, int(p.End-p.L3), mtu)
	if !due {
		return 0
	}
	return icmpError(frame, p, e)
}

// message is the head of an ICMP message but for its checksum.
type message struct {
	kind, code uint8
	rest       uint32 // what is behind the checksum
}

// tooBig returns the error that answers a packet of n bytes, if one is due.
func tooBig(frame []byte, p *Packet, n, mtu int) (e message, due bool) {
	const dontFragment = 0x40
	if p.IPv6 {
		mtu = max(mtu, ipv6MinMTU)
		return message{icmpv6TooBig, 0, uint32(mtu)}, n > mtu
	}
	mtu = max(mtu, ipv4MinMTU)
	return message{icmpUnreachable, icmpFragmentation, uint32(mtu)}, n > mtu && frame[p.L3+6]&dontFragment != 0
}

// icmpError turns a packet into the ICMP or ICMPv6 error about it.
func icmpError(frame []byte, p *Packet, e message) int {
	if !answerable(frame, p) {
		return 0
	}
	return putError(frame, p, e)
}

// putError is icmpError without a look at whether an answer is due.
func putError(frame []byte, p *Packet, e message) int {
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
	binary.BigEndian.PutUint32(l4[4:icmpLen], e.rest)
	setICMP(frame, p, l4, e.kind, e.code)
	return len(frame)
}
