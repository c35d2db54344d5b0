package packet

import "encoding/binary"

// Quoted returns the key of the packet that an ICMP or ICMPv6 error is about, as it stands
// in the quote: of a packet that the receiver of the error has sent. p is what Parse said
// [DropICMP] of. There is none if frame holds no error, or if the quote ends before the
// ports (RFC 792; RFC 4443, 2.4) or is of a fragment that has none.
func Quoted(frame []byte, p *Packet) (k Key, ok bool) {
	l4 := frame[p.L4:p.End]
	if len(l4) < icmpLen {
		return k, false
	}
	quote := l4[icmpLen:]
	if p.IPv6 {
		if l4[0] >= icmpv6Echo { // errors have the lower types (RFC 4443, 2.1)
			return k, false
		}
		return quotedIPv6(quote)
	}
	switch l4[0] {
	case icmpUnreachable, icmpSourceQuench, icmpRedirect, icmpTimeExceeded, icmpParameter:
		return quotedIPv4(quote)
	}
	return k, false
}

// Types of ICMP errors that are not sent here (RFC 792).
const (
	icmpSourceQuench = 4
	icmpRedirect     = 5
	icmpParameter    = 12
)

func quotedIPv4(ip []byte) (k Key, ok bool) {
	if len(ip) < ipv4Len || ip[0]>>4 != 4 || binary.BigEndian.Uint16(ip[6:8])&ipv4Offset != 0 {
		return k, false
	}
	header := int(ip[0]&0xf) * 4
	if header < ipv4Len || len(ip) < header {
		return k, false
	}
	k.Src.setIPv4(binary.LittleEndian.Uint32(ip[12:16]))
	k.Dst.setIPv4(binary.LittleEndian.Uint32(ip[16:20]))
	return k, k.quote(ip[9], ip[header:], ProtoICMP)
}

func quotedIPv6(ip []byte) (k Key, ok bool) {
	if len(ip) < ipv6Len || ip[0]>>4 != 6 {
		return k, false
	}
	k.Src, k.Dst = Addr(ip[8:24]), Addr(ip[24:40])
	next, header, v := skipExtensions(ip, ip[6])
	return k, v == Pending && k.quote(next, ip[header:], ProtoICMPv6)
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
