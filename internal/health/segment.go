package health

import (
	"encoding/binary"
	"net/netip"
)

// TCP's flags (RFC 9293, 3.1).
const (
	flagFIN = 1 << 0
	flagSYN = 1 << 1
	flagRST = 1 << 2
	flagPSH = 1 << 3
	flagACK = 1 << 4
)

const (
	protocolTCP = 6
	ipv4Len     = 20
	ipv6Len     = 40
	tcpLen      = 20
)

// reach is the TTL of what a half-open probe sends. A server may be in a container of
// the backend, or a node further: these are hops. But a backend that does not hold the
// address may forward the probe to its router, which sends it where it sends clients:
// back to a balancer, and by that to a backend that answers in the other one's stead.
// Out of these three the backend takes one and the router one, and with the last no
// balancer passes it on.
const reach = 3

// reachInside is reach for what is inside of a tunnel, to whose end it takes no hops. One is
// for a server beyond the backend; and a balancer that it comes back to passes no last one on.
const reachInside = 2

// mss and window, in bytes, are announced as a client's on Ethernet are.
const (
	mss    = 1460
	window = 64240
)

// segment is the header of a TCP segment.
type segment struct {
	from, to netip.AddrPort // of one family
	seq, ack uint32
	flags    uint8
}

// appendTo appends the packet with some data, from the IP header on and with so many hops to
// live, to b. A SYN has the one option that every client's has.
func (s *segment) appendTo(b []byte, hops uint8, data ...byte) []byte {
	var options []byte
	if s.flags&flagSYN != 0 {
		options = binary.BigEndian.AppendUint16([]byte{2, 4}, mss)
	}
	length := tcpLen + len(options) + len(data)
	start := len(b)
	if s.to.Addr().Is4() {
		b = append(b, 4<<4|ipv4Len/4, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(ipv4Len+length))
		b = append(b, 0, 0, 1<<6, 0, hops, protocolTCP, 0, 0) // not to be fragmented
	} else {
		b = append(b, 6<<4, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(length))
		b = append(b, protocolTCP, hops)
	}
	addresses := len(b)
	b = append(append(b, s.from.Addr().AsSlice()...), s.to.Addr().AsSlice()...)
	if s.to.Addr().Is4() {
		binary.BigEndian.PutUint16(b[start+10:], ^sum(0, b[start:]))
	}
	tcp := len(b)
	b = binary.BigEndian.AppendUint16(b, s.from.Port())
	b = binary.BigEndian.AppendUint16(b, s.to.Port())
	b = binary.BigEndian.AppendUint32(b, s.seq)
	b = binary.BigEndian.AppendUint32(b, s.ack)
	b = append(b, uint8((tcpLen+len(options))/4)<<4, s.flags, window>>8, window&0xff, 0, 0, 0, 0)
	b = append(append(b, options...), data...)
	pseudo := sum(protocolTCP+uint32(length), b[addresses:tcp])
	binary.BigEndian.PutUint16(b[tcp+16:], ^sum(uint32(pseudo), b[tcp:]))
	return b
}

// sum is the ones'-complement sum (RFC 1071) of some 16-bit words, and of others that
// are summed up already.
func sum(s uint32, b []byte) uint16 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) > 0 {
		s += uint32(b[0]) << 8
	}
	for s>>16 != 0 {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// parseSegment reads the headers of a packet that has a TCP header right behind the
// IP header. Checksums are not looked at: those of a neighbour in a namespace or a
// virtual machine may be unfinished. What is not sought is told by the numbers.
func parseSegment(b []byte) (s segment, ok bool) {
	if len(b) < ipv4Len {
		return s, false
	}
	var addresses, tcp []byte
	switch length := int(b[0]&15) * 4; {
	case b[0]>>4 == 4 && b[9] == protocolTCP && length >= ipv4Len && len(b) >= length:
		addresses, tcp = b[12:ipv4Len], b[length:]
	case b[0]>>4 == 6 && b[6] == protocolTCP && len(b) >= ipv6Len:
		addresses, tcp = b[8:ipv6Len], b[ipv6Len:]
	}
	if len(tcp) < tcpLen {
		return s, false
	}
	half := len(addresses) / 2
	from, _ := netip.AddrFromSlice(addresses[:half])
	to, _ := netip.AddrFromSlice(addresses[half:])
	return segment{
		from: netip.AddrPortFrom(from, binary.BigEndian.Uint16(tcp)),
		to:   netip.AddrPortFrom(to, binary.BigEndian.Uint16(tcp[2:])),
		seq:  binary.BigEndian.Uint32(tcp[4:]), ack: binary.BigEndian.Uint32(tcp[8:]), flags: tcp[13],
	}, true
}

// dataOf returns the data of a packet that [parseSegment] has read: what is in it up to the IP
// packet's end, which may have padding behind it.
func dataOf(b []byte) []byte {
	ip, end := ipv6Len, ipv6Len+int(binary.BigEndian.Uint16(b[4:]))
	if b[0]>>4 == 4 {
		ip, end = int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	}
	at := ip + int(b[ip+12]>>4)*4
	end = min(end, len(b))
	return b[min(at, end):end]
}
