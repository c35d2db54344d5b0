package packettest

import (
	"math/rand/v2"
	"net/netip"

	"github.com/afxlb/afxlb/internal/packet"
)

// Random returns any frame that a balancer may meet and must understand: TCP,
// UDP or echo over IPv4 or IPv6, with or without VLAN tags, IP options,
// extension headers, TCP options, payload and padding.
func Random(r *rand.Rand) Frame {
	f := Frame{
		DstMAC: packet.MAC{0x02, 1, 2, 3, 4, byte(r.Uint32())},
		SrcMAC: packet.MAC{0x02, 5, 6, 7, 8, byte(r.Uint32())},
		TOS:    byte(r.Uint32()), TTL: byte(2 + r.IntN(254)),
	}
	for range r.IntN(3) {
		f.VLANs = append(f.VLANs, uint16(r.IntN(4096)))
	}
	four := r.IntN(2) == 0
	f.Src = netip.AddrPortFrom(RandomAddr(r, four), uint16(r.Uint32()))
	f.Dst = netip.AddrPortFrom(RandomAddr(r, four), uint16(r.Uint32()))
	if four {
		f.ID, f.DF = uint16(r.Uint32()), r.IntN(2) == 0
		f.IPOptions = randomOptions(r)
	} else {
		f.FlowLabel = r.Uint32() & 0xfffff
		f.Extensions = randomExtensions(r)
	}
	f.randomTransport(r)
	// Small payloads most of the time: they make checksums of 0 more likely.
	f.Payload = randomBytes(r, r.IntN(1<<r.IntN(11)))
	if len(f.Payload) == 0 {
		f.Payload = nil
	}
	f.Padding = r.IntN(2) * r.IntN(20)
	return f
}

// RandomAddr returns an address that can stand in a packet that crosses a router.
func RandomAddr(r *rand.Rand, four bool) netip.Addr {
	if four {
		b := [4]byte(randomBytes(r, 4))
		b[0] = byte(128 + r.IntN(96))
		return netip.AddrFrom4(b)
	}
	b := [16]byte(randomBytes(r, 16))
	b[0] = 0x20
	return netip.AddrFrom16(b)
}

func (f *Frame) randomTransport(r *rand.Rand) {
	switch r.IntN(5) {
	case 0, 1:
		f.Proto = packet.ProtoTCP
		f.Flags = byte(r.Uint32())
		f.Seq, f.Ack, f.Window = r.Uint32(), r.Uint32(), uint16(r.Uint32())
		f.TCPOptions = randomOptions(r)
	case 2, 3:
		f.Proto = packet.ProtoUDP
		f.NoChecksum = f.Is4() && r.IntN(4) == 0
	default:
		f.Proto, f.Type = packet.ProtoICMP, 8
		if !f.Is4() {
			f.Proto, f.Type = packet.ProtoICMPv6, 128
		}
		f.EchoID, f.EchoSeq = uint16(r.Uint32()), uint16(r.Uint32())
		f.Src, f.Dst = netip.AddrPortFrom(f.Src.Addr(), 0), netip.AddrPortFrom(f.Dst.Addr(), 0)
	}
}

// randomOptions returns 0 to 40 bytes of options of a kind that no one knows.
func randomOptions(r *rand.Rand) []byte {
	var b []byte
	for range r.IntN(2) * r.IntN(6) {
		b = append(b, 1, 1, 222, 6)
		b = append(b, randomBytes(r, 4)...)
	}
	return b
}

func randomExtensions(r *rand.Rand) (list []Extension) {
	if r.IntN(2) == 0 {
		return nil
	}
	for _, kind := range []uint8{0, 60, 43, 44, 60} { // the order of RFC 8200, 4.1
		if r.IntN(3) != 0 {
			continue
		}
		data := make([]byte, 6+8*r.IntN(4))
		switch kind {
		case 43:
			copy(data[2:], randomBytes(r, len(data))) // type 0, no segments left
		case 44:
			data = append([]byte{0, 0}, randomBytes(r, 4)...) // all in one fragment
		default:
			data[0], data[1] = 1, uint8(len(data)-2) // one PadN
		}
		list = append(list, Extension{Type: kind, Data: data})
	}
	return list
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
