package packet

import "encoding/binary"

// Quote is what an ICMP error quotes: the head of the packet that the error is about, as
// one that the receiver of the error has sent. Like [Packet] it has no pointer, and stays
// true for the frame as it was.
type Quote struct {
	Key    Key
	L3, L4 uint16 // offsets in the frame of the quoted IP and transport header
}

// Quoted finds the packet that an ICMP or ICMPv6 error is about. p is what Parse said
// [DropICMP] of. There is none if frame holds no error that a router passes on, or if the
// quote has not the first 8 bytes of the transport (RFC 792; RFC 4443, 2.4), or is of a
// fragment that has none. What the quote's own lengths say is not looked at: some hosts
// change them.
func Quoted(frame []byte, p *Packet) (q Quote, ok bool) {
	l4 := frame[p.L4:p.End]
	if len(l4) < icmpLen || !isError(l4[0], p.IPv6) {
		return q, false
	}
	q.L3 = p.L4 + icmpLen
	if p.IPv6 {
		return q, q.readIPv6(l4[icmpLen:])
	}
	return q, q.readIPv4(l4[icmpLen:])
}

// isError reports whether a message of this type quotes a packet of a flow. The steering
// program draws the same line (is_error of bpf/steer.bpf.c): a redirect is about the
// receiver's link, and source quench is dead (RFC 6633).
func isError(kind uint8, ipv6 bool) bool {
	if ipv6 {
		return kind >= icmpv6Unreachable && kind <= icmpv6Parameter
	}
	return kind == icmpUnreachable || kind == icmpTimeExceeded || kind == icmpParameter
}

// Types of ICMP errors that are not sent here (RFC 792; RFC 4443, 3.4).
const (
	icmpParameter   = 12
	icmpv6Parameter = 4
)

func (q *Quote) readIPv4(ip []byte) bool {
	proto, header, ok := q.headerIPv4(ip)
	return ok && q.Key.quote(proto, ip[header:], ProtoICMP)
}

func (q *Quote) readIPv6(ip []byte) bool {
	proto, header, ok := q.headerIPv6(ip)
	return ok && q.Key.quote(proto, ip[header:], ProtoICMPv6)
}

// headerIPv4 reads the IP header of a quoted packet, and returns the protocol behind it and
// where that begins.
func (q *Quote) headerIPv4(ip []byte) (proto uint8, header int, ok bool) {
	if len(ip) < ipv4Len || ip[0]>>4 != 4 || binary.BigEndian.Uint16(ip[6:8])&ipv4Offset != 0 {
		return 0, 0, false
	}
	header = int(ip[0]&0xf) * 4
	if header < ipv4Len || len(ip) < header {
		return 0, 0, false
	}
	q.Key.Src.setIPv4(binary.LittleEndian.Uint32(ip[12:16]))
	q.Key.Dst.setIPv4(binary.LittleEndian.Uint32(ip[16:20]))
	q.L4 = q.L3 + uint16(header)
	return ip[9], header, true
}

// headerIPv6 is headerIPv4 for IPv6, with its extension headers.
func (q *Quote) headerIPv6(ip []byte) (proto uint8, header int, ok bool) {
	if len(ip) < ipv6Len || ip[0]>>4 != 6 {
		return 0, 0, false
	}
	q.Key.Src, q.Key.Dst = Addr(ip[8:24]), Addr(ip[24:40])
	if q.Key.Src.Is4() || q.Key.Dst.Is4() { // which would pass for a flow of IPv4
		return 0, 0, false
	}
	proto, header, v := skipExtensions(ip, ip[6])
	if v == DropFragment && binary.BigEndian.Uint16(ip[header+2:])&ipv6Offset == 0 {
		proto, header, v = ip[header], header+8, Pending // the first one
	}
	q.L4 = q.L3 + uint16(header)
	return proto, header, v == Pending
}

// quote reads the ports at the start of a quoted transport header, and reports whether
// they are there. An echo has its identifier at the end that asked.
func (k *Key) quote(proto uint8, l4 []byte, icmp uint8) bool {
	if len(l4) < 8 {
		return false
	}
	k.Proto = uint32(proto)
	switch proto {
	case ProtoTCP, ProtoUDP:
		k.SrcPort, k.DstPort = binary.BigEndian.Uint16(l4[0:2]), binary.BigEndian.Uint16(l4[2:4])
		return true
	case icmp:
		id := binary.BigEndian.Uint16(l4[4:6])
		switch l4[0] {
		case icmpEcho, icmpv6Echo:
			k.SrcPort = id
			return true
		case icmpEchoReply, icmpv6EchoReply:
			k.DstPort = id
			return true
		}
	}
	return false
}
