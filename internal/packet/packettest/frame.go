// Package packettest makes frames for tests and takes them apart again, by
// gopacket and never by the code under test. A [Frame] is both the recipe and
// the result: build one, let the datapath work on its bytes, decode them, and
// compare with the frame that was to come out.
//
//	f := packettest.TCP("198.51.100.7:40000", "192.0.2.10:80", packet.TCPSyn)
//	b := f.Bytes()
//	... b is rewritten ...
//	f.Dst = netip.MustParseAddrPort("10.0.0.11:8080")
//	packettest.Equal(t, b, f) // and every checksum is right
package packettest

import (
	"net/netip"

	"github.com/afxlb/afxlb/internal/packet"
)

// Frame is an Ethernet frame that holds a TCP, UDP or ICMP packet. Lengths and
// checksums are not part of it: they follow from the rest.
type Frame struct {
	DstMAC, SrcMAC packet.MAC
	VLANs          []uint16 // outermost first; the first of two is 802.1ad

	Src, Dst   netip.AddrPort // their addresses decide the family; ports are 0 for ICMP
	Proto      uint8
	TOS        uint8  // traffic class in IPv6
	TTL        uint8  // hop limit in IPv6
	ID         uint16 // IPv4 only
	DF         bool   // IPv4 only
	FlowLabel  uint32 // IPv6 only
	IPOptions  []byte // IPv4 only, well-formed and a multiple of 4
	Extensions []Extension

	Flags      uint8 // TCP: FIN to CWR
	Seq, Ack   uint32
	Window     uint16
	TCPOptions []byte // well-formed and a multiple of 4

	NoChecksum bool // UDP: the checksum is left at 0

	Type, Code uint8  // ICMP
	EchoID     uint16 // ICMP: the first half of the word behind the checksum
	EchoSeq    uint16 // ICMP: the second half

	Payload []byte
	Padding int // Ethernet bytes behind the packet
}

// Extension is an IPv6 extension header.
type Extension struct {
	Type uint8  // protocol number
	Data []byte // all but next header and length: 6, 14, 22 ... bytes
}

// The MAC addresses of frames that the constructors make.
var (
	ClientMAC   = packet.MAC{0x02, 0, 0, 0, 0, 0x01}
	BalancerMAC = packet.MAC{0x02, 0, 0, 0, 0, 0x02}
)

// TCP returns a segment from src to dst, each "address:port". Its numbers are those of a
// connection of which both sides begin at the same one, and have sent nothing but their SYN.
func TCP(src, dst string, flags uint8) Frame {
	f := transport(packet.ProtoTCP, netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst))
	f.Flags = flags
	f.Seq = 0x01020304
	if flags&packet.TCPSyn == 0 {
		f.Seq++
	}
	f.Window = 64240
	if flags&packet.TCPAck != 0 {
		f.Ack = 0x01020305
	}
	return f
}

// UDP returns a datagram from src to dst, each "address:port".
func UDP(src, dst string, payload string) Frame {
	f := transport(packet.ProtoUDP, netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst))
	f.Payload = []byte(payload)
	return f
}

// Echo returns an echo request from src to dst, each an address.
func Echo(src, dst string, id uint16) Frame {
	from, to := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	proto, kind := uint8(packet.ProtoICMP), uint8(8)
	if from.Is6() {
		proto, kind = packet.ProtoICMPv6, 128
	}
	f := transport(proto, netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0))
	f.Type, f.EchoID, f.EchoSeq = kind, id, 1
	f.Payload = []byte("thirty-two bytes of echo payload")
	return f
}

func transport(proto uint8, src, dst netip.AddrPort) Frame {
	return Frame{
		DstMAC: BalancerMAC, SrcMAC: ClientMAC,
		Src: src, Dst: dst, Proto: proto, TTL: 64,
	}
}

// Is4 reports whether f is an IPv4 frame.
func (f *Frame) Is4() bool { return f.Src.Addr().Is4() }

// Key returns the flow key that parsing f must find.
func (f *Frame) Key() packet.Key {
	k := packet.Key{
		Src: packet.AddrFrom(f.Src.Addr()), Dst: packet.AddrFrom(f.Dst.Addr()),
		SrcPort: f.Src.Port(), DstPort: f.Dst.Port(), Proto: uint32(f.Proto),
	}
	if f.isICMP() {
		k.SrcPort = f.EchoID
	}
	return k
}

func (f *Frame) isICMP() bool {
	return f.Proto == packet.ProtoICMP || f.Proto == packet.ProtoICMPv6
}
