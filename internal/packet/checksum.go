package packet

import (
	"encoding/binary"
	"math/bits"
)

// Sums here are ones'-complement sums of 16-bit words in big-endian order
// (RFC 1071), kept in 64 bits and folded at the end. A sum of anything that is
// not all zero folds to 1..0xffff and never to 0, which keeps the two zeros of
// ones'-complement arithmetic apart.

// fold16 adds the carries until 16 bits are left. A number plus itself with its
// halves swapped has in its upper half their sum, the carry out of it included.
func fold16(sum uint64) uint16 {
	s := uint32((sum + bits.RotateLeft64(sum, 32)) >> 32)
	return uint16((s + bits.RotateLeft32(s, 16)) >> 16)
}

// sum adds up b; an odd last byte counts as if a zero followed. Packets are far
// too short for the 64 bits to overflow.
func sum(b []byte) (s uint64) {
	for ; len(b) >= 8; b = b[8:] {
		s += wide(binary.BigEndian.Uint64(b))
	}
	if len(b) >= 4 {
		s += uint64(binary.BigEndian.Uint32(b))
		b = b[4:]
	}
	if len(b) >= 2 {
		s += uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) != 0 {
		s += uint64(b[0]) << 8
	}
	return s
}

// wide returns the sum of the two halves of w.
func wide(w uint64) uint64 { return w>>32 + w&0xffffffff }

// changed returns the sum of ~from + to for two addresses: what RFC 1624,
// equation 3 adds to the complement of a checksum that covers from. Like all changes it
// is in little-endian order, see [Translate4].
func changed(from, to *Addr) uint64 {
	return wide(^word(from[:8])) + wide(word(to[:8])) + wide(^word(from[8:])) + wide(word(to[8:]))
}

// update applies a change to the checksum in field: HC' = ~(~HC + ~m + m')
// (RFC 1624, equation 3). A wrong checksum stays wrong by the same difference.
func update(field *[2]byte, change uint64) {
	old := binary.LittleEndian.Uint16(field[:])
	binary.LittleEndian.PutUint16(field[:], ^fold16(uint64(^old)+change))
}

// pseudoHeader returns the sum of the pseudo-header (RFC 9293, 3.1; RFC 8200,
// 8.1) of n bytes of a transport protocol under the IP header at the start of ip.
func pseudoHeader(ip []byte, ipv6 bool, proto uint8, n int) uint64 {
	addresses := ip[12:20]
	if ipv6 {
		addresses = ip[8:40]
	}
	return sum(addresses) + uint64(proto) + uint64(n)
}

// intact verifies the checksums of a packet that Parse understood, of a fragment that of
// IP alone. Only a packet that is to be answered is worth the time.
func intact(frame []byte, p *Packet) bool {
	ip, l4 := frame[p.L3:p.L4], frame[p.L4:p.End]
	if !p.IPv6 && fold16(sum(ip)) != 0xffff {
		return false
	}
	if p.Part != Whole {
		return true
	}
	var pseudo uint64
	switch p.Key.Proto {
	case ProtoUDP:
		l4 = l4[:binary.BigEndian.Uint16(l4[4:])]
		if l4[6] == 0 && l4[7] == 0 { // no checksum, which IPv6 does not allow
			return !p.IPv6
		}
		fallthrough
	case ProtoTCP, ProtoICMPv6:
		pseudo = pseudoHeader(ip, p.IPv6, uint8(p.Key.Proto), len(l4))
	}
	return fold16(sum(l4)+pseudo) == 0xffff
}
