package announce

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Offsets in an Ethernet frame without tags.
const (
	etherType   = 12
	arpSender   = 14 + 14 // protocol address
	arpTarget   = 14 + 24
	arpEnd      = 14 + 28
	icmpType    = 14 + 40
	icmpTarget  = icmpType + 8
	icmpOptions = icmpTarget + 16

	neighbourSolicitation, neighbourAdvertisement = 135, 136 // RFC 4861, 4.3 and 4.4
	targetLinkLayerAddress                        = 2        // an option, RFC 4861, 4.6.1
)

var (
	everybody = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	allNodes  = netip.MustParseAddr("ff02::1")
)

// asking returns the frame that asks whether anybody has an address before it is taken: an
// ARP probe (RFC 5227, 2.1.1), or a solicitation as of duplicate address detection (RFC
// 4862, 5.4.2).
func asking(mac [6]byte, a netip.Addr) []byte {
	if a.Is4() {
		return arp(mac, netip.IPv4Unspecified(), a)
	}
	id := a.As16()
	// The solicited-node address (RFC 4291, 2.7.1), and its MAC address (RFC 2464, 7).
	group := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: id[13], 14: id[14], 15: id[15]})
	return neighbour([6]byte{0x33, 0x33, 0xff, id[13], id[14], id[15]}, mac, netip.IPv6Unspecified(), group, neighbourSolicitation, 0, a)
}

// telling returns the frame that tells everybody who has an address: a gratuitous ARP request
// (RFC 5227, 2.3), or an unsolicited advertisement that overrides (RFC 4861, 7.2.6).
func telling(mac [6]byte, a netip.Addr) []byte {
	if a.Is4() {
		return arp(mac, a, a)
	}
	const override = 0x20
	return neighbour([6]byte{0x33, 0x33, 0, 0, 0, 1}, mac, a, allNodes, neighbourAdvertisement, override, a)
}

func arp(mac [6]byte, sender, target netip.Addr) []byte {
	b := ethernet(everybody, mac, unix.ETH_P_ARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1) // a request, of Ethernet for IPv4
	b = append(append(b, mac[:]...), sender.AsSlice()...)
	return append(append(b, make([]byte, 6)...), target.AsSlice()...)
}

// neighbour returns a solicitation without options, or an advertisement with the sender's
// MAC address.
func neighbour(to, mac [6]byte, src, dst netip.Addr, typ, flags byte, target netip.Addr) []byte {
	icmp := append([]byte{typ, 0, 0, 0, flags, 0, 0, 0}, target.AsSlice()...)
	if typ == neighbourAdvertisement {
		icmp = append(append(icmp, targetLinkLayerAddress, 1), mac[:]...)
	}
	sum := uint32(len(icmp) + unix.IPPROTO_ICMPV6) // of the pseudo-header
	for _, part := range [][]byte{src.AsSlice(), dst.AsSlice(), icmp} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(icmp[2:], ^uint16(sum))
	const hopLimit = 255 // or it would be from beyond the link
	b := append(ethernet(to, mac, unix.ETH_P_IPV6), 0x60, 0, 0, 0, 0, byte(len(icmp)), unix.IPPROTO_ICMPV6, hopLimit)
	return append(append(append(b, src.AsSlice()...), dst.AsSlice()...), icmp...)
}

func ethernet(dst, src [6]byte, typ uint16) []byte {
	return binary.BigEndian.AppendUint16(append(append([]byte{}, dst[:]...), src[:]...), typ)
}

// claim is what a machine says of an address.
type claim struct {
	address netip.Addr
	mac     [6]byte // where it would have the address's packets
	probe   bool    // it does not have it yet, and asks whether it may
}

// parseClaim returns the claim in a frame, if there is one. The MAC address is that of the
// message and not of the frame, which may have come by a proxy.
func parseClaim(frame []byte) (c claim, ok bool) {
	if len(frame) < arpEnd {
		return c, false
	}
	switch binary.BigEndian.Uint16(frame[etherType:]) {
	case unix.ETH_P_ARP:
		if binary.BigEndian.Uint16(frame[14:]) != 1 || binary.BigEndian.Uint16(frame[16:]) != unix.ETH_P_IP || frame[18] != 6 || frame[19] != 4 {
			return c, false
		}
		c.mac, c.address = [6]byte(frame[arpSender-6:]), netip.AddrFrom4([4]byte(frame[arpSender:]))
		if c.probe = c.address.IsUnspecified(); c.probe {
			c.address = netip.AddrFrom4([4]byte(frame[arpTarget:]))
		}
		return c, true
	case unix.ETH_P_IPV6:
		if len(frame) < icmpOptions || frame[20] != unix.IPPROTO_ICMPV6 || frame[21] != 255 || frame[icmpType] != neighbourAdvertisement {
			return c, false
		}
		c.mac, c.address = [6]byte(frame[6:]), netip.AddrFrom16([16]byte(frame[icmpTarget:]))
		if o := frame[icmpOptions:]; len(o) >= 8 && o[0] == targetLinkLayerAddress && o[1] == 1 {
			c.mac = [6]byte(o[2:])
		}
		return c, true
	}
	return c, false
}
