package packet

import "encoding/binary"

// Reset turns a TCP segment into the RST that answers it when there is no
// connection (RFC 9293, 3.10.7.1) and returns the new length of the frame, 0 if
// no answer is due. A RST is never answered.
func Reset(frame []byte, p *Packet) int {
	if p.Key.Proto != ProtoTCP || p.TCPFlags&TCPRst != 0 || !answerable(frame, p) {
		return 0
	}
	seq, ack, flags := resetNumbers(frame[p.L4:p.End])
	l4 := turn(frame, p, ProtoTCP, tcpLen)
	// Ports come from the key: the header may have moved with the IP options.
	binary.BigEndian.PutUint16(l4[0:], p.Key.DstPort)
	binary.BigEndian.PutUint16(l4[2:], p.Key.SrcPort)
	binary.BigEndian.PutUint32(l4[4:], seq)
	binary.BigEndian.PutUint32(l4[8:], ack)
	l4[12], l4[13] = tcpLen/4<<4, flags
	clear(l4[14:]) // window, checksum, urgent pointer
	pseudo := pseudoHeader(frame[p.L3:], p.IPv6, ProtoTCP, tcpLen)
	setSum(l4[16:18], l4, pseudo)
	return p.answerAt() + tcpLen
}

// resetNumbers returns the numbers and flags that make a RST acceptable to the
// sender of segment: its own acknowledgement as sequence number or, if it has
// none, an acknowledgement of all that it sent, SYN and FIN included.
func resetNumbers(segment []byte) (seq, ack uint32, flags uint8) {
	sent := segment[13]
	if sent&TCPAck != 0 {
		return binary.BigEndian.Uint32(segment[8:]), 0, TCPRst
	}
	n := uint32(len(segment) - int(segment[12]>>4)*4)
	if sent&TCPSyn != 0 {
		n++
	}
	if sent&TCPFin != 0 {
		n++
	}
	return 0, binary.BigEndian.Uint32(segment[4:]) + n, TCPRst | TCPAck
}
