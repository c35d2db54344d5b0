package packet

import "encoding/binary"

// Of the word that says where in a packet a fragment belongs (RFC 791, 3.1).
const (
	ipv4Fragment = 0x3fff // the offset and the more-fragments bit
	ipv4Offset   = 0x1fff // 0 for the first fragment
)

// parseIPv4 reads an IPv4 header (RFC 791) at the start of ip, which begins at
// offset l3 of the frame and may end in Ethernet padding.
func parseIPv4(ip []byte, l3 uint16, p *Packet) Verdict {
	if len(ip) < ipv4Len {
		return DropTruncated
	}
	h := (*[ipv4Len]byte)(ip)
	header := int(h[0]&0xf) * 4
	total := int(binary.BigEndian.Uint16(h[2:4]))
	if h[0]-0x45 > 0x4f-0x45 || total < header { // version 4, and five words at least
		return DropMalformed
	}
	if total > len(ip) {
		return DropTruncated
	}
	src := binary.LittleEndian.Uint32(h[12:16])
	if martianIPv4(src) {
		return DropMartian
	}
	p.Key.Src.setIPv4(src)
	p.Key.Dst.setIPv4(binary.LittleEndian.Uint32(h[16:20]))
	p.IPv6 = false
	if place := binary.BigEndian.Uint16(h[6:8]); place&ipv4Fragment != 0 {
		return p.fragment(ip[:total], l3, header, h[9], place&ipv4Offset == 0)
	}
	p.L3 = l3
	p.L4 = l3 + uint16(header)
	p.End = l3 + uint16(total)
	switch l4 := ip[header:total]; h[9] {
	case ProtoTCP:
		return parseTCP(l4, p)
	case ProtoUDP:
		return parseUDP(l4, p)
	case ProtoICMP:
		return parseEcho(l4, ProtoICMP, icmpEcho, p)
	}
	return DropProtocol
}

// setIPv4 writes the IPv4-mapped form of an address read in little-endian order,
// in two stores.
func (a *Addr) setIPv4(addr uint32) {
	binary.LittleEndian.PutUint64(a[0:8], 0)
	binary.LittleEndian.PutUint64(a[8:16], 0xffff0000|uint64(addr)<<32)
}

// martianIPv4 reports whether src, read in little-endian order, cannot be the
// source of a packet that crosses a router: "this" network, loopback, multicast
// and limited broadcast. These are the martians of RFC 1812, 5.3.7, without class
// E, which is in use as unicast space; Linux draws the same line
// (ip_route_input_slow in net/ipv4/route.c). Link-local ones come on top: a router
// must not forward them (RFC 3927, 2.6.2), and there is no way back to them.
func martianIPv4(src uint32) bool {
	first := uint8(src)
	if plainIPv4[first] { // all but a few packets
		return false
	}
	return first < 240 && (first != 169 || uint16(src) == linkLocalIPv4) || src == 0xffffffff
}

// plainIPv4 says which first bytes of a source need no closer look: one load, where
// comparisons would be one more a packet with each range.
var plainIPv4 = func() (plain [256]bool) {
	for first := 1; first < 224; first++ {
		plain[first] = first != 127 && first != 169
	}
	return plain
}()

// linkLocalIPv4 is the start of 169.254.0.0/16, read in little-endian order.
const linkLocalIPv4 = 169 | 254<<8
