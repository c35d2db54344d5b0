package packet

import "encoding/binary"

// fragment notes a fragment, ip, whose part of the packet of proto begins at offset l4 of it,
// and returns DropFragment. The addresses are in p already. So p has as much of the packet's
// key as this one fragment has: the ports are 0 if it is not the first one.
func (p *Packet) fragment(ip []byte, l3 uint16, l4 int, proto uint8, first bool) Verdict {
	p.L3, p.L4, p.End = l3, l3+uint16(l4), l3+uint16(len(ip))
	p.TCPFlags, p.Echo = 0, false
	p.Key.SrcPort, p.Key.DstPort, p.Key.Proto = 0, 0, uint32(proto)
	if first && (proto == ProtoTCP || proto == ProtoUDP) && len(ip) >= l4+4 {
		p.ports(ip[l4:], uint32(proto))
	}
	return DropFragment
}

// fragmentIPv6 is fragment for IPv6, with the fragment header at offset at.
func (p *Packet) fragmentIPv6(ip []byte, l3 uint16, at int) Verdict {
	h := (*[8]byte)(ip[at:])
	p.IPv6 = true
	return p.fragment(ip, l3, at+len(h), h[0], binary.BigEndian.Uint16(h[2:4])&ipv6Offset == 0)
}
