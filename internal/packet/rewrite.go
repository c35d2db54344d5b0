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

// Relay hands a packet over on the link as it is, with one hop less to live: to the MAC
// next, from the MAC from, both as [MAC.Word] has them. It returns Forwarded or, with the frame
// untouched, why the packet must not go any further. All of it is in one place for the
// same reason as [Translate4].
func Relay(frame []byte, p *Packet, next, from uint64) Verdict {
	if SourceWord(frame) == next {
		return DropLoop
	}
	if h := frame[p.L3:]; p.IPv6 && !age6(h) || !p.IPv6 && !age4(h) {
		return DropTTL
	}
	SetMACs(frame, next, from)
	return Forwarded
}

// Age takes one hop off what a packet has to live. It returns false, with the frame
// untouched, if that was the last.
func Age(frame []byte, p *Packet) bool {
	if p.IPv6 {
		return age6(frame[p.L3:])
	}
	return age4(frame[p.L3:])
}

func age6(ip []byte) bool {
	limit := &(*[ipv6Len]byte)(ip)[7]
	if *limit <= 1 {
		return false
	}
	*limit--
	return true
}

func age4(ip []byte) bool {
	// TTL, protocol and checksum are one word. What the first two are as a 16-bit word
	// becomes less by 1, so the checksum becomes more by that, as in ip_decrease_ttl of
	// Linux (include/net/ip.h).
	h := (*[4]byte)(ip[8:12])
	w := binary.LittleEndian.Uint32(h[:])
	if uint8(w) <= 1 {
		return false
	}
	check := w>>16 + 1
	check += (check + 1) >> 16 // the carry, and no 0xffff
	binary.LittleEndian.PutUint32(h[:], w&0xffff-1|check<<16)
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
