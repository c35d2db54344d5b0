package packet

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Encapsulation is what stands between the outer IP header and the packet inside.
type Encapsulation uint8

// The encapsulations.
const (
	// EncapIP is nothing at all: RFC 2003, RFC 2473 and RFC 4213.
	EncapIP Encapsulation = iota
	// EncapUDP is UDP alone: fou of Linux, and the variant 1 of GUE
	// (draft-ietf-intarea-gue-09, section 4), which are the same on the wire.
	EncapUDP
	// EncapGUE is UDP and GUE's header of variant 0, without options (section 3).
	EncapGUE
	// EncapGRE is GRE without options (RFC 2784; RFC 7676 for IPv6).
	EncapGRE
)

const (
	greLen = 4
	gueLen = 4

	protoIPv4 = 4  // RFC 2003
	protoIPv6 = 41 // RFC 2473
	protoGRE  = 47 // RFC 2784
)

// encapsulations say how long each is behind the outer IP header.
var encapsulations = [...]int{EncapIP: 0, EncapUDP: udpLen, EncapGUE: udpLen + gueLen, EncapGRE: greLen}

// TunnelConfig says what a [Tunnel] is.
type TunnelConfig struct {
	Encapsulation Encapsulation
	// Source is the outer source address. Of a network, each flow gets one of the
	// addresses but the first and the last, so that receivers spread flows over their
	// queues who look at outer addresses alone; of a large one, it is the low 32 bits
	// that differ.
	Source      netip.Prefix
	Destination netip.Addr // of Source's family
	Inner6      bool       // the packets inside are IPv6
	Port        uint16     // destination port where there is UDP
	// Checksum has the UDP checksum computed. Without it is 0, which RFC 6935 and RFC
	// 6936 allow tunnels in IPv6, too: the packet inside has its own.
	Checksum bool
}

// Tunnel is a way to one backend that leads through an outer header: what of that is
// the same in all packets. It has no pointer, and is a cache line at most.
type Tunnel struct {
	ip            [ipv6Len]byte
	shim          [4]byte // the header of GRE or GUE
	sum           uint16  // of ip, if that is IPv4
	port          uint16  // destination, of UDP
	length        uint8   // of all
	hosts         uint8   // low bits of the source that differ by flow
	encapsulation Encapsulation
	inner6        bool
	outer6        bool
	checksum      bool // of UDP
}

// NewTunnel returns the tunnel. The config must be valid: two addresses of one family,
// and a network with room for two hosts if it is one.
func NewTunnel(c *TunnelConfig) Tunnel {
	t := Tunnel{
		port: c.Port, encapsulation: c.Encapsulation, checksum: c.Checksum, inner6: c.Inner6, outer6: c.Destination.Is6(),
		hosts: uint8(min(c.Source.Addr().BitLen()-c.Source.Bits(), 32)),
	}
	proto, etherType := uint8(protoIPv4), uint16(etherIPv4)
	if c.Inner6 {
		proto, etherType = protoIPv6, etherIPv6
	}
	outer := c.Protocol()
	switch c.Encapsulation {
	case EncapGUE:
		t.shim[1] = proto // behind version, control bit and length of options, all 0
	case EncapGRE:
		binary.BigEndian.PutUint16(t.shim[2:], etherType)
	}
	h, source := t.ip[:], c.Source.Masked().Addr().AsSlice()
	n := ipv4Len
	if t.outer6 {
		n = ipv6Len
		h[6], h[7] = outer, replyTTL
		copy(h[8:], source)
		copy(h[24:], c.Destination.AsSlice())
	} else {
		h[0], h[8], h[9] = 4<<4|ipv4Len/4, replyTTL, outer
		copy(h[12:], source)
		copy(h[16:], c.Destination.AsSlice())
		t.sum = fold16(sum(h[:ipv4Len]))
	}
	t.length = uint8(n + encapsulations[c.Encapsulation])
	return t
}

// Protocol returns the protocol of the outer IP header.
func (c *TunnelConfig) Protocol() uint8 {
	switch {
	case c.Encapsulation == EncapGRE:
		return protoGRE
	case c.Encapsulation != EncapIP:
		return ProtoUDP
	case c.Inner6:
		return protoIPv6
	}
	return protoIPv4
}

// Len returns how many bytes longer a packet becomes.
func (t *Tunnel) Len() int { return int(t.length) }

// IPv6 reports whether the outer header is IPv6.
func (t *Tunnel) IPv6() bool { return t.outer6 }

// From reports whether a is a source address of the tunnel's packets. What has one has been
// in a tunnel already.
func (t *Tunnel) From(a *Addr) bool {
	source := AddrFromLow(binary.LittleEndian.Uint32(t.ip[12:]))
	if t.outer6 {
		source = Addr(t.ip[8:24])
	}
	network := func(a *Addr) uint32 { return binary.BigEndian.Uint32(a[12:]) >> t.hosts }
	return [12]byte(a[:12]) == [12]byte(source[:12]) && network(a) == network(&source)
}

// firstEntropy is the first of the source ports that flows are spread over: those that
// are nobody's by RFC 6335, 6.
const firstEntropy = 0xc000

// Encapsulate writes the outer header into the [Tunnel.Len] bytes of b in front of the
// packet that begins at at and ends with b: one of the tunnel's family that [Parse] has seen.
// It stays as it is, TTL and checksums included. By the flow's hash the source address differs,
// and UDP's source port and IPv6's flow label (RFC 6438).
//
// DSCP and ECN are those of the packet inside (RFC 2983, 3.1; RFC 6040, 4.1, normal mode). So
// is IPv4's DF, IPv6 counting as if it had it, as in IPVS; and the identification differs as
// the inner one does: who lets routers cut a packet has it arrive on a path of a small MTU.
//
// The headers are put together in words and stored, and not copied and changed: a load that
// follows stores of another size waits for them.
func (t *Tunnel) Encapsulate(b []byte, at int, hash uint64) {
	h, host := b[at-int(t.length):], uint32(0)
	if t.hosts != 0 {
		high, _ := bits.Mul64(hash, 1<<t.hosts-2) // from 0 to two less than there are
		host = uint32(high + 1)
	}
	if t.outer6 {
		t.putIPv6(h, b[at:], hash, host)
	} else {
		t.putIPv4(h, b[at:], hash, host)
	}
}

// putIPv4 writes the header of the outer packet h, which has the inner one at its end.
func (t *Tunnel) putIPv4(h, inner []byte, hash uint64, host uint32) {
	const dontFragment = 0x4000
	class, id, fragment := uint64(inner[1]), hash>>16&0xffff, uint64(dontFragment)
	if t.inner6 {
		class = uint64(binary.BigEndian.Uint16(inner)) >> 4 & 0xff
	} else {
		id ^= uint64(binary.BigEndian.Uint16(inner[4:]))
		fragment &= uint64(binary.BigEndian.Uint16(inner[6:]))
	}
	n := uint64(len(h))
	check := ^fold16(uint64(t.sum) + class + n + id + fragment + uint64(host))
	ip := (*[ipv4Len]byte)(h)
	binary.BigEndian.PutUint64(ip[0:], uint64(t.ip[0])<<56|class<<48|n<<32|id<<16|fragment)
	binary.BigEndian.PutUint64(ip[8:], binary.BigEndian.Uint64(t.ip[8:])|uint64(check)<<32|uint64(host))
	*(*[4]byte)(ip[16:]) = [4]byte(t.ip[16:20])
	if t.encapsulation != EncapIP {
		t.putRest(h, ipv4Len, uint16(hash))
	}
}

// putIPv6 is putIPv4 for IPv6.
func (t *Tunnel) putIPv6(h, inner []byte, hash uint64, host uint32) {
	const flowLabel = 0xfffff
	class := uint64(inner[1])
	if t.inner6 {
		class = uint64(binary.BigEndian.Uint16(inner)) >> 4 & 0xff
	}
	ip := (*[ipv6Len]byte)(h)
	binary.BigEndian.PutUint64(ip[0:], 6<<60|class<<52|hash&flowLabel<<32|uint64(len(h)-ipv6Len)<<16|uint64(binary.BigEndian.Uint16(t.ip[6:])))
	*(*[32]byte)(ip[8:]) = [32]byte(t.ip[8:])
	if host != 0 {
		binary.BigEndian.PutUint32(ip[20:], binary.BigEndian.Uint32(t.ip[20:])|host)
	}
	if t.encapsulation != EncapIP {
		t.putRest(h, ipv6Len, uint16(hash))
	}
}

// putRest writes what follows the IP header of the outer packet h, which is n bytes long.
func (t *Tunnel) putRest(h []byte, n int, entropy uint16) {
	rest := h[n:]
	if t.encapsulation == EncapGRE {
		*(*[greLen]byte)(rest) = t.shim
		return
	}
	udp := (*[udpLen]byte)(rest)
	binary.BigEndian.PutUint64(udp[:], uint64(firstEntropy|entropy)<<48|uint64(t.port)<<32|uint64(len(rest))<<16)
	if t.encapsulation == EncapGUE {
		*(*[gueLen]byte)(rest[udpLen:]) = t.shim
	}
	if !t.checksum {
		return
	}
	setSum(udp[6:8], rest, pseudoHeader(h, t.outer6, ProtoUDP, len(rest)))
	if udp[6]|udp[7] == 0 { // which says that there is none
		udp[6], udp[7] = 0xff, 0xff
	}
}
