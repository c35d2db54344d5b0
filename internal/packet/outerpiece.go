package packet

import "encoding/binary"

// Fragments of the packets that tunnels make. Who sends by IPv6 need not send less than 1280
// bytes at once, and may send no more where it knows of no more; so a tunnel through less has
// to carry these all the same, and its other end puts them together (RFC 2473, 7.1; RFC
// 4213, 3.2.1).

// MustCarry reports whether p has to get through a tunnel, however narrow that is.
func MustCarry(p *Packet) bool { return p.IPv6 && int(p.End-p.L3) <= ipv6MinMTU }

// OuterPieces returns how many fragments the tunnel's packet of n bytes becomes on a link of
// the mtu; 0 if nothing of it would fit.
func (t *Tunnel) OuterPieces(n, mtu int) int {
	header, room := t.outerRoom(mtu)
	if room <= 0 {
		return 0
	}
	return (n - header + room - 1) / room
}

// outerRoom returns how long the outer IP header is, and how much of what is behind it goes
// into one fragment.
func (t *Tunnel) outerRoom(mtu int) (header, room int) {
	if t.outer6 {
		return ipv6Len, (mtu - ipv6Len - fragmentLen) &^ 7
	}
	return ipv4Len, (mtu - ipv4Len) &^ 7
}

// OuterPiece writes fragment k of whole, the tunnel's packet from its outer header on, to b, and
// returns how long it is. All fragments have the same id, which no other packet of these
// addresses may have meanwhile.
func (t *Tunnel) OuterPiece(b, whole []byte, mtu, k int, id uint32) int {
	header, room := t.outerRoom(mtu)
	from := header + k*room
	to := min(from+room, len(whole))
	more := to < len(whole)
	if !t.outer6 {
		copy(b, whole[:header])
		n := header + copy(b[header:], whole[from:to])
		field := uint16(k * room / 8)
		if more {
			field |= ipv4MoreFragments
		}
		binary.BigEndian.PutUint16(b[2:], uint16(n))
		binary.BigEndian.PutUint16(b[4:], uint16(id))
		binary.BigEndian.PutUint16(b[6:], field)
		setSum(b[10:12], b[:header], 0)
		return n
	}
	next := whole[6]
	copy(b, whole[:header])
	n := header + fragmentLen
	n += copy(b[n:], whole[from:to])
	b[6] = extFragment
	binary.BigEndian.PutUint16(b[4:], uint16(n-header))
	f := b[header:]
	f[0], f[1] = next, 0
	field := uint16(k * room)
	if more {
		field |= 1
	}
	binary.BigEndian.PutUint16(f[2:], field)
	binary.BigEndian.PutUint32(f[4:], id)
	return n
}
