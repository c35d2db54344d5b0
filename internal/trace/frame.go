package trace

import (
	"encoding/binary"

	"github.com/afxlb/afxlb/internal/packet"
)

// Frame returns the Ethernet frame of the packet, to and from these machines, with right
// checksums.
func (s *Spec) Frame(to, from packet.MAC) []byte {
	b := append(append(make([]byte, 0, 128+s.Payload), to[:]...), from[:]...)
	for i, id := range s.VLANs {
		tag := uint16(0x8100) // 802.1Q
		if i == 0 && len(s.VLANs) == 2 {
			tag = 0x88a8 // 802.1ad
		}
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, tag), id)
	}
	body := s.transport()
	if s.Offset != 0 { // all that it has is data
		body = make([]byte, s.Payload)
	}
	if s.Src.Addr().Is4() {
		return s.ipv4(b, body)
	}
	return s.ipv6(b, body)
}

func (s *Spec) ipv4(b, body []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, 0x0800)
	place := uint16(s.Offset / 8)
	if s.DF {
		place |= 0x4000
	}
	if s.More {
		place |= 0x2000
	}
	at := len(b)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(body)))
	b = binary.BigEndian.AppendUint16(b, s.ID)
	b = binary.BigEndian.AppendUint16(b, place)
	b = append(b, s.TTL, s.Proto, 0, 0)
	b = append(append(b, s.Src.Addr().AsSlice()...), s.Dst.Addr().AsSlice()...)
	binary.BigEndian.PutUint16(b[at+10:], ^sum(b[at:], 0))
	return append(b, body...)
}

func (s *Spec) ipv6(b, body []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, 0x86dd)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = append(b, s.Proto, s.TTL)
	b = append(append(b, s.Src.Addr().AsSlice()...), s.Dst.Addr().AsSlice()...)
	return append(b, body...)
}

// transport returns the transport's header and the payload.
func (s *Spec) transport() (b []byte) {
	field := 0
	switch s.Proto {
	case packet.ProtoTCP:
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, s.Src.Port()), s.Dst.Port())
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, s.Seq), s.Ack)
		b = append(b, 5<<4, s.Flags, 0xfa, 0xf0, 0, 0, 0, 0)
		field = 16
	case packet.ProtoUDP:
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, s.Src.Port()), s.Dst.Port())
		b = binary.BigEndian.AppendUint16(b, uint16(8+s.Payload))
		b = append(b, 0, 0)
		field = 6
	default: // an echo request
		kind := byte(8)
		if s.Proto == packet.ProtoICMPv6 {
			kind = 128
		}
		b = append(b, kind, 0, 0, 0, 0, 1, 0, 1)
		field = 2
	}
	b = append(b, make([]byte, s.Payload)...)
	pseudo := uint32(0)
	if s.Proto != packet.ProtoICMP {
		pseudo = uint32(len(b)) + uint32(s.Proto)
		for _, a := range [][]byte{s.Src.Addr().AsSlice(), s.Dst.Addr().AsSlice()} {
			pseudo += uint32(sum(a, 0))
		}
	}
	check := ^sum(b, pseudo)
	if check == 0 && s.Proto == packet.ProtoUDP {
		check = 0xffff // RFC 768: 0 is that there is none
	}
	binary.BigEndian.PutUint16(b[field:], check)
	return b
}

// sum is the ones' complement sum of words (RFC 1071), on top of another one.
func sum(b []byte, on uint32) uint16 {
	for ; len(b) > 1; b = b[2:] {
		on += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		on += uint32(b[0]) << 8
	}
	for on > 0xffff {
		on = on>>16 + on&0xffff
	}
	return uint16(on)
}
