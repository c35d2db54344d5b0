package packet

import "encoding/binary"

// CompleteChecksum finishes the TCP or UDP checksum of a packet that was sent by a
// neighbour on the same machine, over a veth or from a virtual machine: these leave it to
// hardware that never comes (CHECKSUM_PARTIAL in Linux include/linux/skbuff.h). Such a
// field has the sum of the pseudo-header and nothing else. It returns false, with the frame
// untouched, if that is not so.
//
// Of right checksums one in 65536 is that sum too: it stays what it was, and that is
// false as well, or on a busy link some packet would soon seem to come from a neighbour. To
// be called before the packet is rewritten. Fragments come finished: hardware could not do it.
func CompleteChecksum(frame []byte, p *Packet) bool {
	if p.Part != Whole {
		return false
	}
	l4 := frame[p.L4:p.End]
	var field []byte
	switch p.Key.Proto {
	case ProtoTCP:
		field = l4[16:18]
	case ProtoUDP:
		l4 = l4[:binary.BigEndian.Uint16(l4[4:])]
		field = l4[6:8]
	default:
		return false
	}
	pseudo := pseudoHeader(frame[p.L3:], p.IPv6, uint8(p.Key.Proto), len(l4))
	if binary.BigEndian.Uint16(field) != fold16(pseudo) {
		return false
	}
	was := [2]byte(field)
	setSum(field, l4, pseudo)
	if p.Key.Proto == ProtoUDP && field[0]|field[1] == 0 { // which says that there is none
		field[0], field[1] = 0xff, 0xff
	}
	return [2]byte(field) != was
}
