package packet

import "encoding/binary"

// Segment is what connection tracking reads of a TCP segment (RFC 9293, 3.1). That of
// another protocol's packet is zero.
type Segment struct {
	Seq   uint32
	Next  uint32 // the sequence number behind it: SYN and FIN count as one byte each
	Ack   uint32 // of use only with TCPAck among the flags
	Flags uint8
}

// Segment returns the segment in frame, which p was found in.
func (p *Packet) Segment(frame []byte) (s Segment) {
	if p.Key.Proto != ProtoTCP {
		return s
	}
	h := (*[tcpLen]byte)(frame[p.L4:])
	s.Flags = p.TCPFlags
	s.Seq, s.Ack = binary.BigEndian.Uint32(h[4:8]), binary.BigEndian.Uint32(h[8:12])
	s.Next = s.Seq + uint32(p.End-p.L4) - uint32(h[12]>>4)*4 + uint32(s.Flags>>1&1) + uint32(s.Flags&1)
	return s
}
