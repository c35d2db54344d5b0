package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// SetMAC gives an interface another MAC address, as another network card would. Nobody
// is told of it.
func (h *Host) SetMAC(name string, mac net.HardwareAddr) error {
	link, err := h.link.LinkByName(name)
	if err == nil {
		err = h.link.LinkSetHardwareAddr(link, mac)
	}
	if err != nil {
		return fmt.Errorf("set the MAC address of %s of %s: %w", name, h.Name, err)
	}
	return nil
}

// Announce tells the link of an interface that it has an address, as who takes one over
// does: by a gratuitous ARP request (RFC 5227, section 2.3) or an unsolicited neighbour
// advertisement with the override flag (RFC 4861, section 7.2.6).
func (h *Host) Announce(name string, a netip.Addr) error {
	i, err := h.openInjector(name)
	if err != nil {
		return fmt.Errorf("announce %s: %w", a, err)
	}
	frame := gratuitousARP(i.MAC, a)
	if a.Is6() {
		frame = unsolicitedNA(i.MAC, a)
	}
	if err := errors.Join(i.Inject(frame), i.close()); err != nil {
		return fmt.Errorf("announce %s: %w", a, err)
	}
	return nil
}

func gratuitousARP(mac net.HardwareAddr, a netip.Addr) []byte {
	b := ethernet(net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, unix.ETH_P_ARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, 1) // a request, of Ethernet for IPv4
	b = append(append(b, mac...), a.AsSlice()...)
	return append(append(b, make([]byte, 6)...), a.AsSlice()...)
}

func unsolicitedNA(mac net.HardwareAddr, a netip.Addr) []byte {
	allNodes := netip.MustParseAddr("ff02::1")
	const override, targetLinkLayerAddress = 0x20, 2
	icmp := []byte{136, 0, 0, 0, override, 0, 0, 0}
	icmp = append(append(icmp, a.AsSlice()...), targetLinkLayerAddress, 1)
	icmp = append(icmp, mac...)
	sum := uint32(len(icmp) + unix.IPPROTO_ICMPV6) // of the pseudo-header
	for _, part := range [][]byte{a.AsSlice(), allNodes.AsSlice(), icmp} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(icmp[2:], ^uint16(sum))
	b := ethernet(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, mac, unix.ETH_P_IPV6)
	b = append(b, 0x60, 0, 0, 0, 0, byte(len(icmp)), unix.IPPROTO_ICMPV6, 255)
	b = append(append(b, a.AsSlice()...), allNodes.AsSlice()...)
	return append(b, icmp...)
}

func ethernet(dst, src net.HardwareAddr, typ uint16) []byte {
	return binary.BigEndian.AppendUint16(append(append([]byte{}, dst...), src...), typ)
}
