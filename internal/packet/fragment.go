package packet

import "encoding/binary"

// Of a fragment Parse says DropFragment, and p has as much of its packet's key as this one
// fragment has: the addresses, the protocol and, if it is the first one, the ports. The
// others' ports are 0.

// ipv4Offset and ipv6Offset are the offset in the word that the more-fragments bit is in
// too: 0 for the first fragment (RFC 791, 3.1; RFC 8200, 4.5).
const (
	ipv4Offset = 0x1fff
	ipv6Offset = 0xfff8
)

// fragmentIPv4 reads a fragment that ip is, at offset l3 of the frame, whose fragment
// word is place.
func fragmentIPv4(ip []byte, l3, place uint16, p *Packet) Verdict {
	src := binary.LittleEndian.Uint32(ip[12:16])
	if martianIPv4(src) {
		return DropMartian
	}
	p.Key.Src.setIPv4(src)
	p.Key.Dst.setIPv4(binary.LittleEndian.Uint32(ip[16:20]))
	p.IPv6 = false
	p.fragment(ip, l3, int(ip[0]&0xf)*4, ip[9], place&ipv4Offset == 0)
	return DropFragment
}

// fragmentIPv6 is fragmentIPv4 for IPv6, with the fragment header at offset at. The
// addresses are in p already.
func fragmentIPv6(ip []byte, l3 uint16, at int, p *Packet) Verdict {
	h := (*[8]byte)(ip[at:])
	p.IPv6 = true
	p.fragment(ip, l3, at+len(h), h[0], binary.BigEndian.Uint16(h[2:4])&ipv6Offset == 0)
	return DropFragment
}

// fragment notes a fragment whose part of the packet of proto begins at offset l4 of ip.
func (p *Packet) fragment(ip []byte, l3 uint16, l4 int, proto uint8, first bool) {
	p.L3, p.L4, p.End = l3, l3+uint16(l4), l3+uint16(len(ip))
	p.TCPFlags, p.Echo = 0, false
	p.Key.SrcPort, p.Key.DstPort, p.Key.Proto = 0, 0, uint32(proto)
	if first && (proto == ProtoTCP || proto == ProtoUDP) && len(ip) >= l4+4 {
		p.Key.SrcPort = binary.BigEndian.Uint16(ip[l4:])
		p.Key.DstPort = binary.BigEndian.Uint16(ip[l4+2:])
	}
}
