package packet

// Codes of errors that are translated, but for those that stand elsewhere in this package
// (RFC 792, RFC 4443).
const (
	icmpProtocolUnreachable = 2 // of icmpUnreachable
	icmpv6UnknownHeader     = 1 // of icmpv6Parameter
)

// icmpHead is the first eight bytes of an ICMP or ICMPv6 error but for the checksum.
type icmpHead struct {
	kind, code uint8
	rest       uint32
}

// xlatGrows is the difference between the families' IP headers.
const xlatGrows = ipv6Len - ipv4Len

// noSuch is the entry of what has no counterpart in the other family in the tables below.
const noSuch = 0xff

// unreachable6 is the code of ICMPv6 unreachable for each one of ICMP's (RFC 7915, 4.2).
// Those of protocol and size are other messages there.
var unreachable6 = [16]uint8{0, 0, noSuch, 4, noSuch, 0, 0, 0, 0, 1, 1, 0, 0, 1, noSuch, 1}

// unreachable4 is the code of ICMP unreachable for each one of ICMPv6's (RFC 7915, 5.2).
var unreachable4 = [5]uint8{1, 10, 1, 1, 3}

// pointer6 is where in an IPv6 header the field is that is at a place of an IPv4 header
// (RFC 7915, figure 3).
var pointer6 = [ipv4Len]uint8{
	0, 1, 4, 4, noSuch, noSuch, noSuch, noSuch, 7, 6, noSuch, noSuch, 8, 8, 8, 8, 24, 24, 24, 24,
}

// pointer4 is the reverse of pointer6 (RFC 7915, figure 6).
var pointer4 = func() (at [ipv6Len]uint8) {
	copy(at[:], []uint8{0, 1, noSuch, noSuch, 2, 2, 9, 8})
	for i := 8; i < ipv6Len; i++ {
		at[i] = 12
		if i >= 24 {
			at[i] = 16
		}
	}
	return at
}()

// to6 returns an ICMP error about a packet of total bytes as an ICMPv6 one, false if there
// is none for it (RFC 7915, 4.2).
func (m icmpHead) to6(total int) (icmpHead, bool) {
	switch m.kind {
	case icmpUnreachable:
		switch {
		case m.code == icmpProtocolUnreachable:
			return icmpHead{icmpv6Parameter, icmpv6UnknownHeader, 6}, true // next header
		case m.code == icmpFragmentation:
			return icmpHead{icmpv6TooBig, 0, mtu6(int(m.rest&0xffff), total)}, true
		case int(m.code) < len(unreachable6):
			code := unreachable6[m.code]
			return icmpHead{icmpv6Unreachable, code, 0}, code != noSuch
		}
	case icmpTimeExceeded:
		return icmpHead{icmpv6TimeExceeded, m.code, 0}, true
	case icmpParameter:
		// Codes: the pointer shows the error, and bad length; 1 is a missing option.
		if at := m.rest >> 24; (m.code == 0 || m.code == 2) && at < ipv4Len {
			return icmpHead{icmpv6Parameter, 0, uint32(pointer6[at])}, pointer6[at] != noSuch
		}
	}
	return m, false
}

// to4 is to6 for the other direction (RFC 7915, 5.2).
func (m icmpHead) to4() (icmpHead, bool) {
	switch m.kind {
	case icmpv6Unreachable:
		if int(m.code) < len(unreachable4) {
			return icmpHead{icmpUnreachable, unreachable4[m.code], 0}, true
		}
	case icmpv6TooBig:
		return icmpHead{icmpUnreachable, icmpFragmentation, mtu4(m.rest)}, true
	case icmpv6TimeExceeded:
		return icmpHead{icmpTimeExceeded, m.code, 0}, true
	case icmpv6Parameter:
		switch {
		case m.code == icmpv6UnknownHeader:
			return icmpHead{icmpUnreachable, icmpProtocolUnreachable, 0}, true
		case m.code == 0 && m.rest < ipv6Len:
			at := pointer4[m.rest]
			return icmpHead{icmpParameter, 0, uint32(at) << 24}, at != noSuch
		}
	}
	return m, false
}

// plateaus are the MTUs of RFC 1191, table 7-1, that IPv6 can have.
var plateaus = [...]int{32000, 17914, 8166, 4352, 2002, 1492}

// mtu6 returns the MTU to tell an IPv6 host of a path on which an IPv4 router could not pass
// on a packet of total bytes. A router older than RFC 1191 says 0.
//
// That the links on both sides of the translator may take less than a router tells is left
// to the answer to the packet that these do not take.
func mtu6(mtu, total int) uint32 {
	for i := 0; mtu == 0 && i < len(plateaus); i++ {
		if plateaus[i] < total {
			mtu = plateaus[i]
		}
	}
	return uint32(max(mtu+xlatGrows, ipv6MinMTU))
}

// mtu4 is mtu6 for an IPv4 host. No IPv6 link has less than 1280 bytes; who says so is not
// believed (RFC 8201, 4), or a forger could have hosts send the smallest of packets.
func mtu4(mtu uint32) uint32 { return min(max(mtu, ipv6MinMTU)-xlatGrows, 0xffff) }
