package packet

import "encoding/binary"

// TranslateError does to an ICMP or ICMPv6 error what [Translate4] and [Translate6] do to
// the packets that it is about. On one side of the error it writes addr; on the other side
// of the packet that it quotes, which went the opposite way, addr and port. The checksums
// of all headers follow, the quoted ones too, as far as they are quoted: of TCP the first 8
// bytes have none.
//
// What is quoted may be cut off, and may have been changed on the way. So the checksums are
// updated and not made anew, and stay as wrong as they were (RFC 1624).
func TranslateError(frame []byte, p *Packet, q *Quote, side Side, addr *Addr, port uint16) {
	side &= 1
	before := p.errorSum(frame, q)
	setAddress(frame[p.L3:], p.IPv6, side, addr)
	change := setAddress(frame[q.L3:], p.IPv6, side^1, addr)
	q.setPort(frame[q.L4:p.End], side^1, change, port)
	field := frame[p.L4+2:][:2]
	old := binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, ^fold16(uint64(^old)+uint64(^before)+uint64(p.errorSum(frame, q))))
}

// errorSum returns the sum of what the checksum of an error covers and [TranslateError]
// changes: the quoted headers, and in IPv6 the addresses of the error itself.
func (p *Packet) errorSum(frame []byte, q *Quote) uint16 {
	s := sum(frame[q.L3:min(int(q.L4)+tcpLen, int(p.End))])
	if p.IPv6 {
		s += sum(frame[p.L3+8 : p.L3+ipv6Len])
	}
	return fold16(s)
}

// setAddress writes an address of the IP header at the start of ip, whose own checksum
// follows, and returns the change of checksums that cover it.
func setAddress(ip []byte, ipv6 bool, side Side, addr *Addr) (change uint64) {
	if ipv6 {
		field := (*Addr)(ip[8+16*side:])
		change = changed(field, addr)
		*field = *addr
		return change
	}
	field := ip[12+4*side:][:4]
	change = uint64(^binary.LittleEndian.Uint32(field)) + uint64(addr.Low())
	binary.LittleEndian.PutUint32(field, addr.Low())
	update((*[2]byte)(ip[10:12]), change)
	return change
}

// setPort is rewriteTransport for the quoted transport header, of which l4 has 8 bytes at
// least.
func (q *Quote) setPort(l4 []byte, side Side, change uint64, port uint16) {
	switch q.Key.Proto {
	case ProtoTCP:
		change += rewritePort((*[2]byte)(l4[2*side:]), port)
		if len(l4) >= 18 {
			update((*[2]byte)(l4[16:18]), change)
		}
	case ProtoUDP:
		change += rewritePort((*[2]byte)(l4[2*side:]), port)
		updateUDP((*[2]byte)(l4[6:8]), change)
	case ProtoICMPv6:
		update((*[2]byte)(l4[2:4]), change)
	}
}
