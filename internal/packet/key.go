package packet

import (
	"encoding/binary"
	"net/netip"
)

// IP protocol numbers (IANA "Assigned Internet Protocol Numbers").
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
)

// Addr is an IP address as the datapath stores it: 16 bytes in network order,
// IPv4 as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2). Pointer-free and comparable.
type Addr [16]byte

// AddrFrom returns a in the datapath's form. Its zone is dropped.
func AddrFrom(a netip.Addr) Addr { return Addr(a.As16()) }

// Netip returns the address for printing and for the control plane, with
// IPv4-mapped addresses as plain IPv4.
func (a Addr) Netip() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Is4 reports whether a is an IPv4 address.
func (a *Addr) Is4() bool {
	return *(*[12]byte)(a[:12]) == [12]byte{10: 0xff, 11: 0xff}
}

// Low returns the last four bytes in little-endian order: all of an IPv4 address, in
// the form that [Translate4] takes.
func (a *Addr) Low() uint32 { return binary.LittleEndian.Uint32(a[12:]) }

// AddrFromLow returns the IPv4 address that [Addr.Low] gave.
func AddrFromLow(low uint32) (a Addr) {
	a.setIPv4(low)
	return a
}

// Key is one direction of a flow: the 5-tuple as it stands in the packet.
// Ports are in host order. The protocol is one byte on the wire; it is widened
// here so that a Key has no padding and compares and hashes as plain memory.
type Key struct {
	Src, Dst         Addr
	SrcPort, DstPort uint16
	Proto            uint32
}

// Reverse returns the key of the opposite direction.
func (k Key) Reverse() Key {
	return Key{Src: k.Dst, Dst: k.Src, SrcPort: k.DstPort, DstPort: k.SrcPort, Proto: k.Proto}
}
