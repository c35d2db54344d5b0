package packet

import "encoding/binary"

// SplitAt returns after how many bytes of its payload a packet must be split, so that each
// part fits into mtu when it is translated (see [Xlat]): IPv6 has no router split it, and an
// IPv4 host that allows that does not hear of an MTU (RFC 7915, 4.1). It is 0 for one that
// must not be split, or cannot.
func SplitAt(frame []byte, p *Packet, mtu int) int {
	size, n := (mtu-ipv6Len-fragmentLen)&^7, int(p.End-p.L4)
	if p.IPv6 || size < tcpLen || size >= n {
		return 0
	}
	place := binary.BigEndian.Uint16(frame[p.L3+6:])
	if place&ipv4DontFragment != 0 || int(place&ipv4Offset)*8+n > 0xffff {
		return 0
	}
	return size
}

// Split makes two fragments of an IPv4 packet (RFC 791, 3.2): the first size bytes of its
// payload stay in frame, as p says then, and what is behind them goes to rest, behind a
// header without options that is as far from the start. What Parse would find there is
// returned; rest must have room for it. The checksum of a UDP datagram is made if it has
// none, since IPv6 will want one.
func Split(frame []byte, p *Packet, size int, rest []byte) Packet {
	place := binary.BigEndian.Uint16(frame[p.L3+6:])
	if p.Key.Proto == ProtoUDP && p.Part == Whole {
		sumUDP(frame[p.L3:], frame[p.L4:p.End])
	}
	q, end := *p, p.L4+uint16(size)
	q.L4, q.Part = q.L3+ipv4Len, Later
	q.End = q.L4 + uint16(copy(rest[q.L4:], frame[end:p.End]))
	ip := rest[q.L3:q.L4]
	copy(ip, frame[p.L3:])
	ip[0] = 4<<4 | ipv4Len/4
	putPlace(ip, place+uint16(size/8), int(q.End-q.L4))

	if p.End = end; p.Part == Whole {
		p.Part = First
	}
	putPlace(frame[p.L3:p.L4], place|ipv4MoreFragments, size)
	return q
}

// putPlace makes the IPv4 header ip one of n bytes at another place of their packet.
func putPlace(ip []byte, place uint16, n int) {
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+n))
	binary.BigEndian.PutUint16(ip[6:], place)
	setSum(ip[10:12], ip, 0)
}
