package packet

import "encoding/binary"

// Divisible reports whether a router may cut the packet, or fragment, in frame, which p was
// found in: if it is IPv4, which does not forbid it. One with options is not cut: these
// would not all be for each of the pieces.
func Divisible(frame []byte, p *Packet) bool {
	ip := frame[p.L3:p.End]
	return !p.IPv6 && ip[0]&0xf == ipv4Len/4 && binary.BigEndian.Uint16(ip[6:8])&ipv4DontFragment == 0
}

// pieceData returns how many bytes behind the IP header the pieces have, all but the last.
func pieceData(mtu int) int { return (max(mtu, ipv4MinMTU) - ipv4Len) &^ 7 }

// PieceLen returns how long the frame with the k-th piece is of a packet that is [Divisible],
// which p was found in: 0 if there are not so many. The largest packet among them has mtu
// bytes.
func PieceLen(p *Packet, mtu, k int) int {
	size, front := pieceData(mtu), int(p.L3)+ipv4Len
	left := int(p.End) - front - k*size
	if left <= 0 {
		return 0
	}
	return front + min(left, size)
}

// PiecesLen returns the sum of it over all pieces.
func PiecesLen(p *Packet, mtu int) int {
	size, front := pieceData(mtu), int(p.L3)+ipv4Len
	data := int(p.End) - front
	return data + (data+size-1)/size*front
}

// Piece writes the frame with the k-th piece of the packet in frame, which p was found in,
// into to, which is as long as [PieceLen] says: a fragment of the packet (RFC 791, 2.3), or of what that
// is a fragment of.
func Piece(to, frame []byte, p *Packet, mtu, k int) {
	front := int(p.L3) + ipv4Len
	from := k * pieceData(mtu)
	n := copy(to, frame[:front])
	end := from + copy(to[n:], frame[front+from:p.End])
	ip := to[p.L3:]
	place := binary.BigEndian.Uint16(ip[6:8]) + uint16(from/8)
	if front+end < int(p.End) {
		place |= ipv4MoreFragments
	}
	binary.BigEndian.PutUint16(ip[2:4], uint16(len(ip)))
	binary.BigEndian.PutUint16(ip[6:8], place)
	setSum(ip[10:12], ip[:ipv4Len], 0)
}
