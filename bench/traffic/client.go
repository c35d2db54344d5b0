package traffic

import (
	"net/netip"

	"github.com/afxlb/afxlb/internal/packet"
)

// Family is the IP version.
type Family string

// The families.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// The service and its balancer's network. Clients are in the ranges that are set
// aside for benchmarks: 198.18.0.0/15 (RFC 2544) and 2001:2::/48 (RFC 5180).
const Port, BackendPort = 80, 8080

// Service returns the address of the service.
func (f Family) Service() netip.Addr {
	if f == IPv4 {
		return netip.AddrFrom4([4]byte{192, 0, 2, 10})
	}
	return netip.MustParseAddr("2001:db8:2::10")
}

// Backend returns the address of backend i.
func (f Family) Backend(i int) netip.Addr {
	if f == IPv4 {
		return netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(11 + i)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0x10, 14: byte(i >> 8), 15: byte(11 + i)})
}

// Source returns the balancer's address i towards the backends, as full NAT has them.
func (f Family) Source(i int) netip.Addr {
	if f == IPv4 {
		return netip.AddrFrom4([4]byte{10, 9, byte(i >> 8), byte(i)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 9, 14: byte(i >> 8), 15: byte(i)})
}

// End is an address of some range, by its number there, and a port.
type End struct {
	Low  uint32
	Port uint16
}

// Fresh is the first of the clients that are never remembered from before: numbers
// below it are for flows that exist, those above for new ones.
const Fresh = 1 << 31

// Client returns address and port of client n. Neighbours have different addresses,
// as the clients of a real service have. Each of the 2^32 numbers is another client.
func (f Family) Client(n uint32) netip.AddrPort {
	addr, port := client(n)
	if f == IPv4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 18 | byte(addr>>16), byte(addr >> 8), byte(addr)}), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0, 2, 13: byte(addr >> 16), 14: byte(addr >> 8), 15: byte(addr)}), port)
}

// client returns the lowest 17 bits of client n's address, and its port.
func client(n uint32) (addr uint32, port uint16) {
	return n&0xffff | n>>31<<16, 0x8000 | uint16(n>>16)
}

// Key returns the key of client n's requests.
func (f Family) Key(n uint32) packet.Key {
	c := f.Client(n)
	return packet.Key{
		Src: packet.AddrFrom(c.Addr()), SrcPort: c.Port(),
		Dst: packet.AddrFrom(f.Service()), DstPort: Port, Proto: packet.ProtoTCP,
	}
}
