package packet

import (
	"encoding/binary"
	"math/bits"
)

// Side is the end of a packet that a translation replaces.
type Side uint

// The sides, in the order of their addresses and ports in all headers.
const (
	Source      Side = 0
	Destination Side = 1
)

// Translate4 routes a packet on as NAT does: one hop less to live, and on one side addr,
// in the form of [Addr.Low], and port. The checksums of IP and of the transport follow.
// p is what Parse found in frame; an echo request has no port. It returns false, with the
// frame untouched, if the packet must not go any further.
//
// All of it is in one place, because the three changes share their sums. These are in
// little-endian order, which a ones'-complement sum does not mind (RFC 1071, 2.B), and
// nothing branches on the side: requests and replies come in no order that could be
// predicted.
func Translate4(frame []byte, p *Packet, side Side, addr uint32, port uint16) bool {
	side &= 1
	h := (*[ipv4Len]byte)(frame[p.L3:])
	if h[8] <= 1 {
		return false
	}
	h[8]--
	field := (*[4]byte)(h[12+4*side:])
	change := uint64(^binary.LittleEndian.Uint32(field[:])) + uint64(addr)
	binary.LittleEndian.PutUint32(field[:], addr)
	// The 16-bit word of TTL and protocol became less by 1: ~m + m' is the same for
	// all of them.
	update((*[2]byte)(h[10:12]), change+0xffff-1)
	rewriteTransport(frame, p, side, change, port)
	return true
}

// Translate6 is Translate4 for IPv6.
func Translate6(frame []byte, p *Packet, side Side, addr *Addr, port uint16) bool {
	side &= 1
	h := (*[ipv6Len]byte)(frame[p.L3:])
	if h[7] <= 1 {
		return false
	}
	h[7]--
	field := (*Addr)(h[8+16*side:])
	change := changed(field, addr)
	*field = *addr
	rewriteTransport(frame, p, side, change, port)
	return true
}

// DecrementTTL routes a packet on as it is: one hop less to live. It returns false, with
// the frame untouched, if the packet must not go any further.
func DecrementTTL(frame []byte, p *Packet) bool {
	if p.IPv6 {
		return decrementHops((*[ipv6Len]byte)(frame[p.L3:]))
	}
	h := (*[ipv4Len]byte)(frame[p.L3:])
	if h[8] <= 1 {
		return false
	}
	h[8]--
	// The same as update with the change in Translate4, in less time (ip_decrease_ttl in
	// Linux include/net/ip.h).
	check := uint32(binary.LittleEndian.Uint16(h[10:12])) + 1
	binary.LittleEndian.PutUint16(h[10:12], uint16(check+check/0xffff))
	return true
}

func decrementHops(h *[ipv6Len]byte) bool {
	if h[7] <= 1 {
		return false
	}
	h[7]--
	return true
}

// rewriteTransport writes the port, and applies that change and the address's to the
// transport's checksum.
func rewriteTransport(frame []byte, p *Packet, side Side, change uint64, port uint16) {
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
	old, wire := binary.LittleEndian.Uint16(field[:]), bits.ReverseBytes16(port)
	binary.LittleEndian.PutUint16(field[:], wire)
	return uint64(^old) + uint64(wire)
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
