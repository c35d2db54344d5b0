package packet

import "encoding/binary"

// replyTTL is the TTL or hop limit of packets that start here: the default that
// RFC 1700 recommends for IP and Linux uses for both families.
const replyTTL = 64

// The functions that answer a packet do it in place: they turn the frame into its
// own answer, which goes back where the packet came from, with the VLAN tags that
// it had. They return the new length of the frame, or 0 when no answer is due,
// with the frame untouched: to a packet for a group, since answers to these would
// multiply, and to one with a wrong checksum, since any host would ignore it.
// Afterwards p no longer describes the frame.

// EchoReply turns an echo request into its reply (RFC 792, RFC 4443, 4.2) and
// returns the new length of the frame, 0 if no answer is due. The reply carries
// no IP options or extension headers.
func EchoReply(frame []byte, p *Packet) int {
	if !p.Echo || !answerable(frame, p) {
		return 0
	}
	n := int(p.End - p.L4)
	start := p.answerAt()
	copy(frame[start:], frame[p.L4:p.End])
	l4 := turn(frame, p, uint8(p.Key.Proto), n)
	kind := uint8(icmpEchoReply)
	if p.IPv6 {
		kind = icmpv6EchoReply
	}
	setICMP(frame, p, l4, kind, 0)
	return start + n
}

// answerable reports whether p may be answered at all: no ICMP error is, or two hosts could
// go on for ever, and of fragments only the first one (RFC 1122, 3.2.2).
func answerable(frame []byte, p *Packet) bool {
	if !p.Echo && (p.Key.Proto == ProtoICMP || p.Key.Proto == ProtoICMPv6) {
		return false
	}
	return p.Part != Later && single(frame, p) && intact(frame, p)
}

// single reports whether p is from one host to another. Parse has seen to it that the
// source is not a group.
func single(frame []byte, p *Packet) bool {
	if DestinationMAC(frame).IsGroup() || SourceMAC(frame).IsGroup() {
		return false
	}
	dst := &p.Key.Dst
	group := dst[0] == 0xff
	if !p.IPv6 { // multicast, class E and limited broadcast
		group = dst[12] >= 224
	}
	return !group
}

// answerAt is where the transport header of an answer starts.
func (p *Packet) answerAt() int {
	if p.IPv6 {
		return int(p.L3) + ipv6Len
	}
	return int(p.L3) + ipv4Len
}

// turn sends the frame back: it swaps the MAC addresses and makes the IP header
// one without options from the old destination to the old source, for n bytes of
// proto, which it returns for writing. It reads and writes nothing behind that
// header.
//
// DSCP goes with the answer, ECN does not. In IPv4 neither identification nor DF
// changes: they are as unique and as fit for the path as those of the packet.
func turn(frame []byte, p *Packet, proto uint8, n int) (l4 []byte) {
	dst, src := DestinationMAC(frame), SourceMAC(frame)
	SetMACs(frame, src.Word(), dst.Word())
	start := p.answerAt()
	ip := frame[p.L3:start]
	if p.IPv6 {
		const dscp = 0x0fc00000
		binary.BigEndian.PutUint32(ip, 6<<28|binary.BigEndian.Uint32(ip)&dscp)
		binary.BigEndian.PutUint16(ip[4:], uint16(n))
		ip[6], ip[7] = proto, replyTTL
		swap((*Addr)(ip[8:]), (*Addr)(ip[24:]))
	} else {
		const dscp, dontFragment = 0xfc, 0x4000
		ip[0], ip[1] = 4<<4|ipv4Len/4, ip[1]&dscp
		binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Len+n))
		binary.BigEndian.PutUint16(ip[6:], binary.BigEndian.Uint16(ip[6:])&dontFragment)
		ip[8], ip[9] = replyTTL, proto
		swap((*[4]byte)(ip[12:]), (*[4]byte)(ip[16:]))
		setSum(ip[10:12], ip, 0)
	}
	return frame[start : start+n]
}

func swap[T any](a, b *T) { *a, *b = *b, *a }

// setICMP completes the ICMP or ICMPv6 message in l4, the transport of frame.
func setICMP(frame []byte, p *Packet, l4 []byte, kind, code uint8) {
	l4[0], l4[1] = kind, code
	var pseudo uint64
	if p.IPv6 {
		pseudo = pseudoHeader(frame[p.L3:], true, ProtoICMPv6, len(l4))
	}
	setSum(l4[2:4], l4, pseudo)
}

// setSum writes the checksum of data, which holds field, and of what extra is the
// sum of.
func setSum(field, data []byte, extra uint64) {
	binary.BigEndian.PutUint16(field, 0)
	binary.BigEndian.PutUint16(field, ^fold16(sum(data)+extra))
}
