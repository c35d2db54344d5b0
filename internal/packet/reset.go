package packet

import "encoding/binary"

// Reset turns a TCP segment into the RST that answers it when there is no
// connection (RFC 9293, 3.10.7.1) and returns the new length of the frame, 0 if
// no answer is due. A RST is never answered.
func Reset(frame []byte, p *Packet) int {
	if p.Key.Proto != ProtoTCP || p.TCPFlags&TCPRst != 0 || !answerable(frame, p) {
		return 0
	}
	seq, ack, flags := resetNumbers(p.Segment(frame))
	return turnTCP(frame, p, seq, ack, flags)
}

// ChallengeACK turns a segment of a connection's client into the ACK by which the server
// would question it (RFC 5961, 3.2 and 4.2), and returns the new length of the frame, 0 if
// no answer is due. The numbers are those that the server is at: seq its own, ack what it
// expects. A client that knows of no such connection answers with a RST that is at ack.
//
// The window is 0, as in a RST. A client that has the connection takes it for news only
// from a later segment than the last one that it had of the server: with a seq one below
// the server's it never does.
func ChallengeACK(frame []byte, p *Packet, seq, ack uint32) int {
	if p.Key.Proto != ProtoTCP || p.TCPFlags&TCPRst != 0 || !answerable(frame, p) {
		return 0
	}
	return turnTCP(frame, p, seq, ack, TCPAck)
}

// turnTCP sends a TCP segment back as one without data and options.
func turnTCP(frame []byte, p *Packet, seq, ack uint32, flags uint8) int {
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
// sender of s: its own acknowledgement as sequence number or, if it has
// none, an acknowledgement of all that it sent, SYN and FIN included.
func resetNumbers(s Segment) (seq, ack uint32, flags uint8) {
	if s.Flags&TCPAck != 0 {
		return s.Ack, 0, TCPRst
	}
	return 0, s.Next, TCPRst | TCPAck
}
