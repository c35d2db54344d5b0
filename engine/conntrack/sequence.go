package conntrack

import (
	"sync/atomic"

	"github.com/afxlb/afxlb/internal/packet"
)

// What a RST or a FIN may end is decided by sequence numbers, as at the ends themselves:
// whoever knows a connection's addresses and ports can send one, but must guess these
// (RFC 5961, RFC 9293, 3.10.7).
//
// Flow.ack[d] is the next number that is expected from side d. Where replies pass through
// the balancer the other side says so, by what it acknowledges: it is what that side will
// compare with. Where they do not, it is the client's word for both: what it has sent, and
// what it has acknowledged.
//
// The numbers are unproven at first. In a handshake they are the SYN's, then those of the
// answer, and the client's ACK that knows both proves them. In mid-stream a segment of one
// side is proved by one of the other side that agrees with it, or without replies by the
// client's next one. What the backend says counts more than what a client says: nobody
// can make it say something by a packet with a false source.
//
// Proven numbers only move forward, by segments that are near them in both sequence number
// and acknowledgement. So a stranger who sees no packet must guess both to move them, and
// can't bring them to where he wants them.

const (
	// window is how far ahead of what is acknowledged a segment may be, bytes: what Linux
	// lets a socket have under way by default (tcp_wmem in Documentation/networking/ip-sysctl.rst).
	window     = 1 << windowBits
	windowBits = 22
	// wide is the same on a long fat pipe: ten gigabits a second and a tenth of a second.
	wide = 1 << 27
	// tight is how far a side's acknowledgements may be ahead of the last one that was
	// seen: two segments as large as GRO makes them.
	tight = 1 << 17
)

// Proven reports whether what [Flow.Expected] says is known for sure.
func (f *Flow) Proven() bool {
	return f.state.Load()&(live|unproven) == live && f.proto == packet.ProtoTCP
}

// Expected returns the next sequence number that is expected from side d. It means
// nothing before the flow is established.
func (f *Flow) Expected(d Direction) uint32 { return atomic.LoadUint32(&f.ack[d&1]) }

// Proves reports whether a segment from side d with these numbers is one of the connection,
// as far as can be told: of 2^24 guesses one is right. It is false as long as nothing is
// known, and for what is no TCP.
func (f *Flow) Proves(d Direction, seq, ack uint32) bool {
	const small = 1 << 19
	return f.Proven() && within(seq-f.Expected(d), small) && within(ack-f.Expected(d^1), small)
}

// near reports whether a segment from side d is within a window of what is known on both
// counts, or nearer on one of them and farther on the other: of some 2^16 guesses one is.
func (f *Flow) near(d Direction, s packet.Segment) bool {
	seq, ack := s.Seq-f.Expected(d), s.Ack-f.Expected(d^1)
	return s.Flags&packet.TCPAck != 0 && (within(seq, window) && within(ack, window) ||
		within(seq, wide) && within(ack, tight) || within(seq, tight) && within(ack, wide))
}

// within reports whether a difference of sequence numbers is small.
func within(difference, limit uint32) bool { return difference+limit < 2*limit }

// Follow takes the numbers of a segment with ACK from side d of a settled flow into account.
// It returns false if [Flow.FollowFar] is to be called, which it does not do itself, or it
// would not be inlined: the numbers are not as near as usual, not in order, or without
// replies it is a segment with data.
func (f *Flow) Follow(d Direction, s packet.Segment) bool {
	own, other := &f.ack[d&1], &f.ack[^d&1]
	known, direct := atomic.LoadUint32(own), -uint32(f.flags>>1&1) // a mask: all ones without replies
	if ((s.Seq-known+window)>>1|(s.Ack-atomic.LoadUint32(other)))>>windowBits|(s.Next-known)&direct != 0 {
		return false
	}
	set32(other, s.Ack)
	return true
}

// FollowFar is Follow for all segments.
func (f *Flow) FollowFar(d Direction, s packet.Segment) {
	if !f.near(d, s) {
		return
	}
	f.forward(d^1, s.Ack)
	if !f.Paired() {
		f.forward(d, s.Next)
	}
}

var _ = [1]struct{}{}[oneWay-2] // Follow relies on it

// forward moves what is expected of side d on to a number, unless it is an old one.
func (f *Flow) forward(d Direction, to uint32) {
	if int32(to-f.Expected(d)) > 0 {
		set32(&f.ack[d], to)
	}
}

// learn takes a segment from side d into account while the numbers are unproven, and
// reports whether it was believed: it proves them, or they are its own now.
func (f *Flow) learn(d Direction, s packet.Segment, state uint32) bool {
	opens, acks := s.Flags&packet.TCPSyn != 0, s.Flags&packet.TCPAck != 0
	switch {
	case f.agrees(d, s, state):
		set32(&f.ack[d^1], s.Ack)
		if !f.Paired() {
			set32(&f.ack[d], s.Next)
		}
		f.state.And(^(unproven | asked))
	case d == Reply && acks:
		f.believe(s.Ack, s.Next, knownRequest|knownReply|fromReply)
	case d == Request && state&fromReply != 0:
		return false
	case d == Request && opens && !acks:
		f.believe(s.Next, 0, knownRequest)
	case d == Request && acks && !opens:
		f.believe(s.Next, s.Ack, knownRequest|knownReply)
	default:
		return false
	}
	return true
}

// agrees reports whether a segment from side d proves numbers that are unproven: it has those
// of the other side, if that is seen.
func (f *Flow) agrees(d Direction, s packet.Segment, state uint32) bool {
	known, replied := state&(knownRequest|knownReply), state&fromReply != 0
	if s.Flags&(packet.TCPAck|packet.TCPSyn) != packet.TCPAck || f.Paired() && replied != (d == Request) {
		return false
	}
	return known == knownRequest|knownReply && f.near(d, s) ||
		known == knownRequest && !f.Paired() && s.Seq == f.Expected(Request) // behind the SYN
}

// Completes reports whether a segment from side d ends the handshake of a connection that a
// SYN has begun: [Table.Advance] would count it as half-open no more.
func (f *Flow) Completes(d Direction, s packet.Segment) bool {
	state := f.state.Load()
	switch {
	case d&1 != Request || class(state) != TCPSyn || state&opened == 0 || s.Flags&packet.TCPRst != 0:
		return false
	case state&unproven != 0:
		return f.agrees(Request, s, state)
	}
	return f.near(Request, s)
}

// believe notes numbers that one side said, until the other side, or without replies the
// same, proves them. What else was seen before is forgotten.
func (f *Flow) believe(request, reply, bits uint32) {
	set32(&f.ack[Request], request)
	set32(&f.ack[Reply], reply)
	f.change(finRequest|finReply|knownRequest|knownReply|fromReply, bits)
}

// resets reports whether a RST from side d is credible. Most are exactly at the number that
// the other side expects, because they answer what it sent. An abort is ahead of that by
// what is still under way, but acknowledges what was received (tcp_send_active_reset in
// Linux net/ipv4/tcp_output.c). In a handshake the RST acknowledges the SYN, or what the
// client sent last is answered by it.
func (f *Flow) resets(d Direction, s packet.Segment, state uint32) bool {
	acks, exact := s.Flags&packet.TCPAck != 0, s.Seq == f.Expected(d)
	if state&unproven == 0 {
		return exact || acks && s.Seq-f.Expected(d) < window && s.Ack-f.Expected(d^1) < tight
	}
	if class(state) != TCPSyn {
		return false
	}
	if d == Request { // what a client says twice proves nothing
		return exact && (state&fromReply != 0 || state&(knownRequest|knownReply) == knownRequest)
	}
	return exact && state&knownReply != 0 || acks && state&knownRequest != 0 && s.Ack == f.Expected(Request)
}
