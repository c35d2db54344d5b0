package packet

import "encoding/binary"

// RewriteDst makes addr and port the destination of the packet, as NAT does with
// a request, and brings the checksums of IP and of the transport up to date. p is
// what Parse found in frame; addr is of the packet's family. An echo request has
// no port.
func RewriteDst(frame []byte, p *Packet, addr *Addr, port uint16) {
	rewrite(frame, p, 1, addr, port)
}

// RewriteSrc makes addr and port the source of the packet, as NAT does with a
// reply. Otherwise like RewriteDst.
func RewriteSrc(frame []byte, p *Packet, addr *Addr, port uint16) {
	rewrite(frame, p, 0, addr, port)
}

// rewrite replaces the source (side 0) or the destination (side 1). In all
// headers these two stand next to each other.
func rewrite(frame []byte, p *Packet, side int, addr *Addr, port uint16) {
	var change uint64
	if p.IPv6 {
		field := (*Addr)(frame[int(p.L3)+8+16*side:])
		change = changed(field, addr)
		*field = *addr
	} else {
		h := (*[ipv4Len]byte)(frame[p.L3:])
		field := (*[4]byte)(h[12+4*side:])
		change = uint64(^binary.BigEndian.Uint32(field[:])) + uint64(binary.BigEndian.Uint32(addr[12:]))
		*field = [4]byte(addr[12:])
		update((*[2]byte)(h[10:12]), change)
	}
	switch p.Key.Proto {
	case ProtoTCP:
		h := (*[tcpLen]byte)(frame[p.L4:])
		change += rewritePort((*[2]byte)(h[2*side:]), port)
		update((*[2]byte)(h[16:18]), change)
	case ProtoUDP:
		h := (*[udpLen]byte)(frame[p.L4:])
		change += rewritePort((*[2]byte)(h[2*side:]), port)
		updateUDP((*[2]byte)(h[6:8]), change)
	case ProtoICMPv6: // its checksum covers the addresses, that of ICMP does not
		h := (*[icmpLen]byte)(frame[p.L4:])
		update((*[2]byte)(h[2:4]), change)
	}
}

// rewritePort writes port into field and returns the change of checksums.
func rewritePort(field *[2]byte, port uint16) uint64 {
	old := binary.BigEndian.Uint16(field[:])
	binary.BigEndian.PutUint16(field[:], port)
	return uint64(^old) + uint64(port)
}

// updateUDP is update for UDP, where 0 says that there is no checksum: that stays
// so, and a checksum that comes out as 0 is sent as 0xffff (RFC 768). In IPv6 a
// zero checksum is left to tunnels and the receiver's judgement (RFC 6936).
func updateUDP(field *[2]byte, change uint64) {
	if *field == [2]byte{} {
		return
	}
	update(field, change)
	if *field == [2]byte{} {
		*field = [2]byte{0xff, 0xff}
	}
}

// DecrementTTL takes one hop from the packet's TTL or hop limit, as a router
// does. It returns false, with the frame untouched, if the packet must not go
// any further.
func DecrementTTL(frame []byte, p *Packet) bool {
	if p.IPv6 {
		limit := &frame[p.L3+7]
		if *limit <= 1 {
			return false
		}
		*limit--
		return true
	}
	h := (*[ipv4Len]byte)(frame[p.L3:])
	if h[8] <= 1 {
		return false
	}
	h[8]--
	// The 16-bit word of TTL and protocol became less by 0x0100: ~m + m' is the
	// same for all of them.
	const change = 0xffff - 0x0100
	update((*[2]byte)(h[10:12]), change)
	return true
}
