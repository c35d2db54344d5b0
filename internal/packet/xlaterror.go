package packet

import "encoding/binary"

// errorXlat is an ICMP or ICMPv6 error, as far as its translation needs it.
type errorXlat struct {
	Quote
	outer, inner ipHeader
	head         icmpHead // translated
	n            int      // bytes that the quoted packet had behind its IP header
	end          int      // of the quote in the frame
}

// XlatErrorGrowth is [XlatGrowth] for an ICMP or ICMPv6 error that quotes a TCP or UDP
// packet: p is what Parse said DropICMP of, and [Quoted] has found a key. The outer and the
// quoted header both grow. The verdict is DropICMP if the error or the field that it points
// at has no counterpart in the other family.
func XlatErrorGrowth(frame []byte, p *Packet) (int, Verdict) {
	e, v := p.readError(frame)
	if v != Pending {
		return 0, v
	}
	return e.outer.sizeIn(!p.IPv6) + e.inner.sizeIn(!p.IPv6) - int(p.L4-p.L3) - int(e.L4-e.L3), Pending
}

// readError reads an error and decides whether it can be translated.
func (p *Packet) readError(frame []byte) (e errorXlat, v Verdict) {
	e.outer = readIP(frame[p.L3:p.L4], p.IPv6)
	switch {
	case e.outer.hops <= 1:
		return e, DropTTL
	case !p.IPv6 && fold16(sum(frame[p.L3:p.L4])) != 0xffff:
		return e, DropMalformed
	}
	var ok bool
	e.Quote, ok = Quoted(frame, p)
	if !ok || e.Key.Proto != ProtoTCP && e.Key.Proto != ProtoUDP {
		return e, DropICMP
	}
	ip, l4 := frame[e.L3:e.L4], frame[p.L4:p.End]
	e.inner = readIP(ip, p.IPv6)
	total := int(binary.BigEndian.Uint16(ip[2:]))
	if p.IPv6 {
		total = ipv6Len + int(binary.BigEndian.Uint16(ip[4:]))
	}
	e.n, e.end = min(max(total-len(ip), 0), 0xffff-ipv6Len), int(p.End) // the quote's own lengths may be anything
	head := icmpHead{l4[0], l4[1], binary.BigEndian.Uint32(l4[4:])}
	if n := head.quoted(p.IPv6); n != 0 {
		e.end = min(e.end, int(e.L3)+n)
	}
	if p.IPv6 {
		e.head, ok = head.to4()
	} else {
		e.head, ok = head.to6(total)
	}
	if !ok || e.end < int(e.L4)+udpLen {
		return e, DropICMP
	}
	return e, Pending
}

// quoted returns how many bytes of an error are the quote, if it says so: it is followed by
// extensions then (RFC 4884, 4).
func (m icmpHead) quoted(ipv6 bool) int {
	switch {
	case ipv6 && (m.kind == icmpv6Unreachable || m.kind == icmpv6TimeExceeded):
		return int(m.rest>>24) * 8
	case !ipv6 && (m.kind == icmpUnreachable || m.kind == icmpTimeExceeded || m.kind == icmpParameter):
		return int(m.rest>>16&0xff) * 4
	}
	return 0
}

// XlatError is [Xlat] for an error. to has the addresses of the error itself, and quoted is
// what is to stand in the quote: the packet as the receiver of the error has sent it. The
// hop limit of the quoted packet stays (RFC 7915, 4.3). Extensions behind the quote (RFC
// 4884) are cut off, and as much of the quote as is over the limit of the other family. id is that of
// the error itself. A wrong checksum stays wrong by the same difference.
func XlatError(frame []byte, p *Packet, to, quoted *Key, id uint16) int {
	e, _ := p.readError(frame)
	if !e.outer.fragment {
		e.outer.id = uint32(id)
	}
	e.outer.hops--
	ipv6, limit, was := !p.IPv6, icmpv6ErrorMax, p.sumICMP(frame)
	if p.IPv6 {
		limit = icmpErrorMax
	}
	inner := int(e.L4) - e.inner.sizeIn(ipv6)
	start := inner - icmpLen
	outer := start - e.outer.sizeIn(ipv6)
	end := min(e.end, outer+limit)

	replaceEnds(frame[e.L4:end], e.inner.proto, &e.Key, quoted)
	e.inner.put(frame[inner:e.L4], ipv6, quoted, e.n)
	l4 := frame[start:end]
	e.outer.put(frame[outer:start], ipv6, to, len(l4))
	p.L3, p.L4, p.End, p.IPv6 = uint16(outer), uint16(start), uint16(end), ipv6
	l4[0], l4[1], l4[2], l4[3] = e.head.kind, e.head.code, 0, 0
	binary.BigEndian.PutUint32(l4[4:], e.head.rest)
	binary.BigEndian.PutUint16(l4[2:], fold16(uint64(was)+uint64(^p.sumICMP(frame))))
	return end
}

// sumICMP returns the sum of all that the checksum of an ICMP or ICMPv6 message covers: if it
// is right, 0xffff.
func (p *Packet) sumICMP(frame []byte) uint16 {
	l4 := frame[p.L4:p.End]
	if p.IPv6 {
		return fold16(sum(l4) + pseudoHeader(frame[p.L3:], true, ProtoICMPv6, len(l4)))
	}
	return fold16(sum(l4))
}
