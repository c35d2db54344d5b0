package packet

import "encoding/binary"

// Part says how much of an IP packet a frame has.
type Part uint8

// The parts.
const (
	Whole Part = iota
	First      // the first of several fragments, which has the transport's header
	Later      // another one: what is at Packet.L4 is no header
)

// Place is where a fragment belongs.
type Place struct {
	ID       uint32 // with both addresses, and Proto, the name of the packet
	Proto    uint8  // as in the header; 0 in IPv6, where it is no part of the name (RFC 8200, 4.5)
	From, To uint16 // the bytes that it has of what the packet's fragments are made of
	Last     bool
}

// Place returns where in which packet the fragment in frame belongs, which p was found in by
// Parse, or why it must not be followed:
//
//   - DropMalformed: it has nothing, or ends where no other can begin
//   - DropOverflow: it ends where no packet does
//   - DropTiny: it is the first one and has not all of the headers (RFC 1858, RFC
//     7112), or begins within the transport's (RFC 3128): a filter would not see the flags
//   - DropProtocol: the transport is none that is handled
func (p *Packet) Place(frame []byte) (f Place, v Verdict) {
	ip := frame[p.L3:p.End]
	var data, from int // where the packet's fragments are cut from: in ip, and in the packet
	if p.IPv6 {
		data = fragmentHeader(ip) + fragmentLen
		h := (*[fragmentLen]byte)(ip[data-fragmentLen:])
		place := binary.BigEndian.Uint16(h[2:4])
		f.ID, from, f.Last = binary.BigEndian.Uint32(h[4:8]), int(place&ipv6Offset), place&^ipv6Offset&ipv6Fragment == 0
	} else {
		data = int(ip[0]&0xf) * 4
		place := binary.BigEndian.Uint16(ip[6:8])
		f.ID, from, f.Last = uint32(binary.BigEndian.Uint16(ip[4:6])), int(place&ipv4Offset)*8, place&^ipv4Offset&ipv4Fragment == 0
		f.Proto = ip[9]
	}
	n := len(ip) - data
	headers := data // of which the length field counts these
	if p.IPv6 {
		headers -= ipv6Len
	}
	switch {
	case n == 0 || !f.Last && n%8 != 0:
		return f, DropMalformed
	case headers+from+n > 0xffff:
		return f, DropOverflow
	}
	f.From, f.To = uint16(from), uint16(from+n)
	if p.Part == Later {
		if p.Key.Proto == ProtoTCP && from < tcpLen {
			return f, DropTiny
		}
		return f, Pending
	}
	return f, p.headed(frame[p.L4:p.End])
}

// headed tells of a first fragment whether l4 begins with all of the transport's header.
func (p *Packet) headed(l4 []byte) Verdict {
	least := udpLen // ICMP's, too
	switch proto := p.Key.Proto; {
	case proto == ProtoTCP:
		least = tcpLen
		if len(l4) >= tcpLen {
			least = int(l4[12]>>4) * 4
		}
		if least < tcpLen {
			return DropMalformed
		}
	case proto == ProtoUDP:
		if len(l4) >= udpLen && binary.BigEndian.Uint16(l4[4:6]) < udpLen {
			return DropMalformed
		}
	case proto == ProtoICMP && !p.IPv6, proto == ProtoICMPv6 && p.IPv6:
	case p.IPv6 && isExtension(uint8(proto)): // the chain goes on in another fragment
		return DropTiny
	default:
		return DropProtocol
	}
	if len(l4) < least {
		return DropTiny
	}
	return Pending
}

// fragment notes a fragment, ip, whose part of the packet of proto begins at offset l4 of it,
// and returns DropFragment. The addresses are in p already. So p has as much of the packet's
// key as this one fragment has: the ports are 0 if it is not the first one.
func (p *Packet) fragment(ip []byte, l3 uint16, l4 int, proto uint8, first bool) Verdict {
	p.L3, p.L4, p.End = l3, l3+uint16(l4), l3+uint16(len(ip))
	p.TCPFlags, p.Echo, p.Part = 0, false, Later
	p.Key.SrcPort, p.Key.DstPort, p.Key.Proto = 0, 0, uint32(proto)
	if !first {
		return DropFragment
	}
	switch h := ip[l4:]; {
	case (proto == ProtoTCP || proto == ProtoUDP) && len(h) >= 4:
		p.ports(h, uint32(proto))
		if proto == ProtoTCP && len(h) >= tcpLen {
			p.TCPFlags = h[13]
		}
	case proto == ProtoICMP && !p.IPv6 && len(h) >= icmpLen:
		parseEcho(h, ProtoICMP, icmpEcho, p)
	case proto == ProtoICMPv6 && p.IPv6 && len(h) >= icmpLen:
		parseEcho(h, ProtoICMPv6, icmpv6Echo, p)
	}
	p.Part = First
	return DropFragment
}

// fragmentLen is the length of the fragment header (RFC 8200, 4.5).
const fragmentLen = 8

// fragmentIPv6 is fragment for IPv6, with the fragment header at offset at. The first one may have
// further extension headers behind it.
func (p *Packet) fragmentIPv6(ip []byte, l3 uint16, at int) Verdict {
	h := (*[fragmentLen]byte)(ip[at:])
	p.IPv6 = true
	next, l4, first := h[0], at+fragmentLen, binary.BigEndian.Uint16(h[2:4])&ipv6Offset == 0
	if first && isExtension(next) {
		if n, behind, v := followExtensions(ip, next, l4, 1); v == Pending {
			next, l4 = n, behind
		}
	}
	return p.fragment(ip, l3, l4, next, first)
}

// fragmentHeader returns where in an IPv6 packet that is a fragment the fragment header is
// that says so: one of a packet that is all in one fragment may be in front of it.
func fragmentHeader(ip []byte) int {
	at, next := ipv6Len, ip[6]
	for {
		h := (*[fragmentLen]byte)(ip[at:])
		length := (int(h[1]) + 1) * 8
		if next == extFragment {
			if binary.BigEndian.Uint16(h[2:4])&ipv6Fragment != 0 {
				return at
			}
			length = fragmentLen
		}
		next, at = h[0], at+length
	}
}

// SetID writes the identification of the IPv4 packet, or fragment, in frame, which p was
// found in, and mends the checksum of the header. An IPv6 packet stays as it is.
func SetID(frame []byte, p *Packet, id uint16) {
	ip := frame[p.L3:]
	if ip[0]>>4 != 4 {
		return
	}
	h := (*[ipv4Len]byte)(ip)
	was := binary.LittleEndian.Uint16(h[4:6])
	binary.BigEndian.PutUint16(h[4:6], id)
	update((*[2]byte)(h[10:12]), uint64(^was)+uint64(binary.LittleEndian.Uint16(h[4:6])))
}

// EchoPart is [EchoReply] for one fragment of an echo request: it becomes that of the reply.
// p.Echo is true, as the first one said. The ICMP checksum, which no fragment has all
// of, stays as wrong as it was. There is no answer to a fragment with IP options or with
// extension headers in front of its own.
func EchoPart(frame []byte, p *Packet) int {
	ip := frame[p.L3:p.End]
	if !p.Echo || !single(frame, p) || !plain(ip, p.IPv6) {
		return 0
	}
	dst, src := DestinationMAC(frame), SourceMAC(frame)
	SetMACs(frame, src.Word(), dst.Word())
	reply := uint8(icmpEchoReply)
	if p.IPv6 {
		reply = icmpv6EchoReply
		ip[7] = replyTTL
		swap((*Addr)(ip[8:]), (*Addr)(ip[24:]))
	} else {
		ip[8] = replyTTL
		swap((*[4]byte)(ip[12:]), (*[4]byte)(ip[16:]))
		setSum(ip[10:12], ip[:ipv4Len], 0)
	}
	if p.Part == First {
		l4 := frame[p.L4:p.End]
		was := binary.LittleEndian.Uint16(l4)
		l4[0] = reply
		// ICMPv6's covers the addresses too, but a sum does not mind their order.
		update((*[2]byte)(l4[2:4]), uint64(^was)+uint64(binary.LittleEndian.Uint16(l4)))
	}
	return int(p.End)
}

// plain reports whether the fragment ip has nothing between the IP header, whose checksum
// is right, and what it brings of the packet but its own header.
func plain(ip []byte, ipv6 bool) bool {
	if ipv6 {
		return ip[6] == extFragment
	}
	return ip[0]&0xf == ipv4Len/4 && fold16(sum(ip[:ipv4Len])) == 0xffff
}
