package packet

import "encoding/binary"

// dontFragmentFrom is the length from which on a translated packet may not be fragmented in
// IPv4. Every link takes an IPv6 packet of 1280 bytes, so that its sender need not listen
// when a path takes less: such a packet, of 1260 bytes then, routers may fragment (RFC 7915, 5).
const dontFragmentFrom = 1261

// Flags of IPv4, in the word of the fragment's offset (RFC 791, 3.1).
const (
	ipv4DontFragment  = 0x4000
	ipv4MoreFragments = 0x2000
)

// ipHeader is what the headers of both families say. IPv4 options and IPv6 extension
// headers are not part of it: a translation leaves them out (RFC 7915, 1.2).
type ipHeader struct {
	class    uint8  // DSCP and ECN
	hops     uint8  // TTL or hop limit
	proto    uint8  // of the transport, by the number of the header's family
	fragment bool   // id, offset and more are those of a fragment
	more     bool   // fragments follow
	offset   uint16 // of a fragment, in units of 8 bytes
	id       uint32
}

// readIP reads the headers of a packet, which end with ip.
func readIP(ip []byte, ipv6 bool) ipHeader {
	if ipv6 {
		return readIPv6(ip)
	}
	place := binary.BigEndian.Uint16(ip[6:])
	return ipHeader{
		class: ip[1], hops: ip[8], proto: ip[9],
		fragment: place&ipv4Fragment != 0, more: place&ipv4MoreFragments != 0, offset: place & ipv4Offset,
		id: uint32(binary.BigEndian.Uint16(ip[4:])),
	}
}

// readIPv6 is readIP for IPv6. A packet that has a fragment header is a fragment here even
// if it is all of the packet (RFC 6946): its sender reckons with a path that fragments
// (RFC 7915, 5.1.1). Extension headers behind that of a fragment are a part of what was
// fragmented and cannot be left out, so the first of them is the transport then.
func readIPv6(ip []byte) ipHeader {
	h := ipHeader{class: uint8(binary.BigEndian.Uint16(ip) >> 4), hops: ip[7], proto: ip[6]}
	for at := ipv6Len; at < len(ip) && !h.more && h.offset == 0; {
		next, length := ip[at], (int(ip[at+1])+1)*8
		if h.proto == extFragment {
			place := binary.BigEndian.Uint16(ip[at+2:])
			h.fragment, h.more, h.offset = true, place&1 != 0, place>>3
			h.id = binary.BigEndian.Uint32(ip[at+4:])
			length = fragmentLen
		}
		h.proto, at = next, at+length
	}
	return h
}

// sizeIn returns how many bytes h has in a family.
func (h *ipHeader) sizeIn(ipv6 bool) int {
	switch {
	case !ipv6:
		return ipv4Len
	case h.fragment:
		return ipv6Len + fragmentLen
	}
	return ipv6Len
}

// put writes h as one of the family that h was not read from, over all of ip, in front of n
// bytes of transport.
func (h *ipHeader) put(ip []byte, ipv6 bool, to *Key, n int) {
	if ipv6 {
		h.putIPv6(ip, to, n)
	} else {
		h.putIPv4(ip, to, n)
	}
}

// putIPv6 is put for IPv6 (RFC 7915, 4.1). The flow label is 0.
func (h *ipHeader) putIPv6(ip []byte, to *Key, n int) {
	proto := h.proto
	if proto == ProtoICMP {
		proto = ProtoICMPv6
	}
	binary.BigEndian.PutUint32(ip, 6<<28|uint32(h.class)<<20)
	binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-ipv6Len+n))
	ip[6], ip[7] = proto, h.hops
	*(*Addr)(ip[8:]), *(*Addr)(ip[24:]) = to.Src, to.Dst
	if !h.fragment {
		return
	}
	ip[6] = extFragment
	place := h.offset << 3
	if h.more {
		place |= 1
	}
	f := ip[ipv6Len:]
	f[0], f[1] = proto, 0
	binary.BigEndian.PutUint16(f[2:], place)
	binary.BigEndian.PutUint32(f[4:], h.id)
}

// putIPv4 is put for IPv4 (RFC 7915, 5.1 and 5.1.1).
func (h *ipHeader) putIPv4(ip []byte, to *Key, n int) {
	proto := h.proto
	if proto == ProtoICMPv6 {
		proto = ProtoICMP
	}
	total := ipv4Len + n
	place := h.offset
	switch {
	case h.more:
		place |= ipv4MoreFragments
	case !h.fragment && total >= dontFragmentFrom:
		place = ipv4DontFragment
	}
	ip[0], ip[1] = 4<<4|ipv4Len/4, h.class
	binary.BigEndian.PutUint16(ip[2:], uint16(total))
	binary.BigEndian.PutUint16(ip[4:], uint16(h.id))
	binary.BigEndian.PutUint16(ip[6:], place)
	ip[8], ip[9] = h.hops, proto
	copy(ip[12:], to.Src[12:])
	copy(ip[16:], to.Dst[12:])
	setSum(ip[10:12], ip, 0)
}
