package pcapfilter

import (
	"encoding/binary"
	"net/netip"

	"github.com/afxlb/afxlb/internal/packet"
)

// protocols are the primitives without a value.
var protocols = map[string]Filter{
	"ip":    func(p *packet.Packet, _ []byte) bool { return p.L3 != 0 && !p.IPv6 },
	"ip6":   func(p *packet.Packet, _ []byte) bool { return p.L3 != 0 && p.IPv6 },
	"tcp":   func(p *packet.Packet, _ []byte) bool { return p.Key.Proto == packet.ProtoTCP },
	"udp":   func(p *packet.Packet, _ []byte) bool { return p.Key.Proto == packet.ProtoUDP },
	"icmp":  func(p *packet.Packet, _ []byte) bool { return p.Key.Proto == packet.ProtoICMP },
	"icmp6": func(p *packet.Packet, _ []byte) bool { return p.Key.Proto == packet.ProtoICMPv6 },
}

// on asks a question of the ends that a side means.
func on(s side, src, dst bool) bool {
	switch s {
	case source:
		return src
	case destination:
		return dst
	case both:
		return src && dst
	}
	return src || dst
}

// addresses asks whether an end is in a network.
func addresses(s side, n netip.Prefix) Filter {
	if n.IsSingleIP() { // no need to take an address apart
		want := packet.AddrFrom(n.Addr())
		return func(p *packet.Packet, _ []byte) bool { return p.L3 != 0 && on(s, p.Key.Src == want, p.Key.Dst == want) }
	}
	return func(p *packet.Packet, _ []byte) bool {
		return p.L3 != 0 && on(s, n.Contains(p.Key.Src.Netip()), n.Contains(p.Key.Dst.Netip()))
	}
}

// ports asks whether an end's port is in a range. Fragments but the first have none.
func ports(s side, first, last uint16) Filter {
	return func(p *packet.Packet, _ []byte) bool {
		k := &p.Key
		return (k.Proto == packet.ProtoTCP || k.Proto == packet.ProtoUDP) && p.Part != packet.Later &&
			on(s, first <= k.SrcPort && k.SrcPort <= last, first <= k.DstPort && k.DstPort <= last)
	}
}

// tagged asks whether one of the VLAN tags has the ID.
func tagged(id uint16) Filter {
	const first, size = 14, 4
	return func(p *packet.Packet, frame []byte) bool {
		for at := first; at+size <= int(p.L3); at += size {
			if binary.BigEndian.Uint16(frame[at:])&0xfff == id {
				return true
			}
		}
		return false
	}
}
