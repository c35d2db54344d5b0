package packet

import "encoding/binary"

// IPv6 extension headers (RFC 8200, 4).
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extDestination = 60
)

// Of the word that says where in a packet a fragment belongs (RFC 8200, 4.5).
const (
	ipv6Fragment = 0xfff9 // the offset and the more-fragments bit
	ipv6Offset   = 0xfff8 // 0 for the first fragment
)

// maxExtensions bounds the walk along the extension headers. The order that
// RFC 8200, 4.1 recommends has four of those that are followed here; the steering
// program in bpf/ gives up at the same number.
const maxExtensions = 8

// parseIPv6 reads an IPv6 header (RFC 8200) and its extension headers at the
// start of ip, which begins at offset l3 of the frame and may end in Ethernet
// padding.
func parseIPv6(ip []byte, l3 uint16, p *Packet) Verdict {
	if len(ip) < ipv6Len {
		return DropTruncated
	}
	h := (*[ipv6Len]byte)(ip)
	// A payload length of 0, as a jumbogram has (RFC 2675), holds no transport
	// header and ends as malformed there.
	end := ipv6Len + int(binary.BigEndian.Uint16(h[4:6]))
	if h[0]>>4 != 6 {
		return DropMalformed
	}
	if end > len(ip) {
		return DropTruncated
	}
	src, dst := (*Addr)(h[8:24]), (*Addr)(h[24:40])
	p.Key.Src, p.Key.Dst = *src, *dst
	if !plainIPv6(src, dst) && martianIPv6(src, dst) { // not the copies, which would be waited for
		return DropMartian
	}
	next, header := h[6], ipv6Len
	if isExtension(next) {
		var v Verdict
		if next, header, v = skipExtensions(ip[:end], next); v == DropFragment {
			return p.fragmentIPv6(ip[:end], l3, header)
		} else if v != Pending {
			return v
		}
	}
	p.IPv6 = true
	p.L3 = l3
	p.L4 = l3 + uint16(header)
	p.End = l3 + uint16(end)
	switch l4 := ip[header:end]; next {
	case ProtoTCP:
		return parseTCP(l4, p)
	case ProtoUDP:
		return parseUDP(l4, p)
	case ProtoICMPv6:
		return parseEcho(l4, ProtoICMPv6, icmpv6Echo, p)
	}
	return DropProtocol
}

// isExtension reports whether an IPv6 next header is one that skipExtensions
// knows. ESP, AH and the rest are protocols that the balancer does not handle.
func isExtension(next uint8) bool {
	return next == extHopByHop || next == extRouting || next == extFragment || next == extDestination
}

// skipExtensions follows the chain of extension headers of the IPv6 packet ip
// and returns the protocol behind it and where that one's header starts; of a fragment,
// where the fragment header starts.
func skipExtensions(ip []byte, first uint8) (next uint8, offset int, v Verdict) {
	return followExtensions(ip, first, ipv6Len, 0)
}

// followExtensions is skipExtensions from an offset on, before which there were n of them.
func followExtensions(ip []byte, next uint8, offset, n int) (uint8, int, Verdict) {
	for ; isExtension(next); n++ {
		if n == maxExtensions {
			return 0, 0, DropProtocol
		}
		if len(ip) < offset+8 { // the least that any of them has
			return 0, 0, DropMalformed
		}
		h := (*[8]byte)(ip[offset:])
		length := (int(h[1]) + 1) * 8
		switch {
		case next == extHopByHop && n != 0:
			return 0, 0, DropProtocol // RFC 8200, 4.1: only right behind the IPv6 header
		case next == extRouting && h[3] != 0:
			// Segments left: the packet is not at its destination yet, and its
			// checksum covers another address than the header's (RFC 8200, 8.1).
			return 0, 0, DropProtocol
		case next == extFragment:
			if binary.BigEndian.Uint16(h[2:4])&ipv6Fragment != 0 {
				return 0, offset, DropFragment
			}
			length = 8 // all of a packet in one fragment (RFC 6946) is none
		}
		if len(ip) < offset+length {
			return 0, 0, DropMalformed
		}
		next, offset = h[0], offset+length
	}
	return next, offset, Pending
}

// martianIPv6 reports whether addresses cannot stand in a packet that crosses a
// router: a multicast, link-local, unspecified or loopback source (RFC 4291, 2.5 and
// 2.7), a loopback destination, and IPv4-mapped addresses, which must not be seen on
// a link and would be taken for IPv4 ones here.
func martianIPv6(src, dst *Addr) bool {
	return highIPv6(src) || lowIPv6(src) || lowIPv6(dst)
}

// plainIPv6 reports whether neither address can be one of those that [martianIPv6] is
// about. That is so in all but a few packets, and small enough to be inlined.
func plainIPv6(src, dst *Addr) bool {
	return src[0] < 0xfe && binary.LittleEndian.Uint64(src[:8]) != 0 && binary.LittleEndian.Uint64(dst[:8]) != 0
}

// highIPv6 reports whether an address is link-local, fe80::/10, or multicast.
func highIPv6(a *Addr) bool { return a[0] == 0xff || a[0] == 0xfe && a[1]&0xc0 == 0x80 }

// lowIPv6 reports whether an address is unspecified, loopback, IPv4-mapped, or
// IPv4-compatible (deprecated).
func lowIPv6(a *Addr) bool {
	high := binary.BigEndian.Uint32(a[8:12])
	return binary.LittleEndian.Uint64(a[:8]) == 0 && (high == 0 || high == 0xffff)
}
