package conntrack

import "github.com/afxlb/afxlb/internal/packet"

// Bits of Flow.state: what was seen, and in the top byte whether the record is live, what
// has every packet take the long way, and the class. Whether it is live and the class
// change only under the home shard's lock.
const (
	sawRequest    uint32 = 1 << iota // UDP: a request
	finRequest                       // a credible FIN from this side
	finReply                         //
	knownRequest                     // Flow.ack has a number
	knownReply                       //
	fromReply                        // both are what a reply said; see learn
	asked                            // a SYN came since the numbers were proven
	reset                            // a RST has ended the connection
	talkedRequest                    // a segment came since that proves itself
	talkedReply                      //
	renewed                          // a SYN has had the numbers forgotten, and no backend was seen to agree
	opened                           // TCP: it began by a SYN, not in mid-stream

	classShift        = 24
	classMask  uint32 = 0x1f
	unproven   uint32 = 1 << 29 // TCP: nobody has confirmed the numbers, see sequence.go; UDP: the first request, or without replies the second, is to come
	unfinished uint32 = 1 << 30
	live       uint32 = 1 << 31
)

// Class returns the flow's stage of life.
func (f *Flow) Class() Class { return class(f.state.Load()) }

func class(state uint32) Class { return Class(state >> classShift & classMask) }

// Settled reports whether the record is live, and a packet of side d with these TCP flags
// (0 if it is not TCP) changes nothing about its class: what is true of nearly every
// packet, by one load. That is so of an established flow, and of the requests of a UDP flow
// that nobody answers. If it is not, the packet is for [Table.Advance].
func (f *Flow) Settled(d Direction, tcpFlags uint8) bool {
	first := uint8(UDPNew) + uint8(d&1)
	top := uint8(f.state.Load() >> classShift)
	return top-uint8(live>>classShift)-first <= uint8(UDPOneSided)-first &&
		tcpFlags&(packet.TCPFin|packet.TCPSyn|packet.TCPRst) == 0
}

var _ = [1]struct{}{}[TCPEstablished-UDPNew-1] // Settled relies on it

// MarkUnfinished notes that packets of the flow come with unfinished checksums, so that
// it is never [Flow.Settled] again and each packet can be completed.
func (f *Flow) MarkUnfinished() { f.state.Or(unfinished) }

// Reopens reports whether a request with these flags starts a new connection on
// the tuple of one that is over: the old record must not choose its backend.
func (f *Flow) Reopens(tcpFlags uint8) bool {
	return packet.Opens(tcpFlags) && f.Class().over()
}

func (f *Flow) setClass(c Class) { f.change(classMask<<classShift, uint32(c)<<classShift) }

// change clears some bits of the state and sets others.
func (f *Flow) change(clear, set uint32) {
	for {
		old := f.state.Load()
		if f.state.CompareAndSwap(old, old&^clear|set) {
			return
		}
	}
}

// saw sets bits of the state and returns all of it.
func (f *Flow) saw(bits uint32) uint32 {
	if state := f.state.Load(); state&bits == bits {
		return state
	}
	return f.state.Or(bits) | bits
}

// Advance takes one packet that is not [Flow.Settled] into account: it belongs to what r
// stands for, which f is, and s is its TCP segment. It moves the flow on to the class that
// it should now be in.
//
// The rules, after the close tracking of IPVS (Linux ip_vs_proto_tcp.c) with
// its distinction between seeing both directions and one:
//
//   - With replies in sight, a TCP flow is established by the client's ACK after
//     an answer of the backend, and over after a RST or both FINs. A single
//     FIN is a half-close, which may last.
//   - Without (dsr), the client's second segment establishes it, and after its FIN the
//     backend may still be sending for a while: TCPFinWait.
//   - A flow picked up in mid-stream has to earn its place the same way, so that
//     a flood of bare ACKs stays in the embryonic budget.
//   - Only a RST or FIN that is credible by its numbers counts; see sequence.go. Should
//     one have been wrong all the same, or lost farther on, both sides go on
//     talking, and the flow is taken back.
//   - A SYN on a live flow changes nothing until the backend has answered it.
func (t *Table) Advance(r Ref, f *Flow, s packet.Segment, now uint32) {
	d, state := r.Direction()&1, f.state.Load()
	from := class(state)
	to := from
	switch {
	case from == UDPNew:
		to = f.advanceUDP(d, state)
	case f.proto == packet.ProtoTCP && s.Flags&packet.TCPRst != 0:
		if !from.over() && f.resets(d, s, state) {
			f.saw(reset)
			to = t.ended(r, state, now)
		}
	case f.proto == packet.ProtoTCP:
		if s.Flags&(packet.TCPSyn|packet.TCPAck) == packet.TCPSyn && t.ignored(r, f, s, state, now) {
			t.loads.Ignore(f.BackendID)
		}
		to = f.advanceTCP(d, s, state)
	}
	if to != from {
		t.reclassify(r, from, to, now)
		if from == TCPSyn {
			t.knocked(f.BackendID, to, s)
		}
	}
}

// knocked notes how a backend has answered a client who knocked. Only a RST that
// acknowledges is the answer to a SYN (RFC 9293, section 3.10.7.1): the answer to a bare ACK
// of a connection that never was, which anybody can provoke, has no acknowledgment.
func (t *Table) knocked(id uint32, to Class, s packet.Segment) {
	switch {
	case !to.over():
		t.loads.Accept(id)
	case to == TCPRefused && s.Flags&packet.TCPAck != 0:
		t.loads.Refuse(id)
	}
}

// patience is how long after a connection's first SYN another one tells that there was no
// answer, ms: clients wait for a second (RFC 6298, 2.1). Whoever sends two at once, with whatever
// source, makes nobody look silent.
const patience = 900

// ignored reports whether a SYN is repeated because the backend has not answered it, of a flow
// whose replies pass through the balancer.
func (t *Table) ignored(r Ref, f *Flow, s packet.Segment, state, now uint32) bool {
	return r.Direction() == Request && f.Paired() && class(state) == TCPSyn &&
		state&(knownRequest|fromReply) == knownRequest && s.Next == f.Expected(Request) &&
		idle(now, t.details[r.index()].created) >= patience
}

func (f *Flow) advanceUDP(d Direction, state uint32) Class {
	if d == Request && !f.Paired() && state&sawRequest == 0 {
		f.saw(sawRequest)
		return UDPNew
	}
	f.state.And(^unproven)
	switch {
	case d == Reply:
		return UDPEstablished
	case f.Paired():
		return UDPNew
	}
	return UDPOneSided
}

// refusedWithin is how soon after its start a connection must be reset by its backend to
// count as refused, ms.
const refusedWithin = 1000

// ended returns the class of a flow that was ended by a RST of what r stands for. One that is
// renewed may have been ended by a stranger who has begun another connection on it: it is
// where it was before that, and the next SYN goes to its backend.
func (t *Table) ended(r Ref, state, now uint32) Class {
	switch {
	case state&renewed != 0:
		return TCPFinWait
	case r.Direction() == Reply && idle(now, t.details[r.index()].created) <= refusedWithin:
		return TCPRefused
	}
	return TCPClosing
}

// advanceTCP returns the class after a segment without RST.
func (f *Flow) advanceTCP(d Direction, s packet.Segment, state uint32) Class {
	if s.Flags&packet.TCPSyn != 0 {
		f.reopened(d, s, state)
		state = f.state.Load()
	}
	credible := false
	if state&unproven != 0 {
		credible = f.learn(d, s, state)
	} else if credible = f.near(d, s); s.Flags&packet.TCPAck != 0 {
		f.FollowFar(d, s)
	}
	state = f.state.Load()
	if s.Flags&packet.TCPFin != 0 && credible {
		state = f.saw(finRequest << d)
	}
	c, both := class(state), finRequest|finReply
	switch {
	case c.over():
		return f.takenBack(d, s, state, credible)
	case f.Paired() && state&both == both:
		return TCPClosing
	case !credible || state&unproven != 0 || d == Reply:
		return c
	case f.Paired():
		return TCPEstablished
	case state&finRequest != 0:
		return TCPFinWait
	}
	return TCPOneSided
}

// reopened prepares for a new connection that may begin on the tuple of a live one. With
// replies in sight that is when the backend, which may have forgotten the old one, has
// agreed by a SYN-ACK to the client's SYN. Without, it is only after the client's FIN: a
// client that says one thing and then another might be two.
func (f *Flow) reopened(d Direction, s packet.Segment, state uint32) {
	const numbers = finRequest | finReply | knownRequest | knownReply | fromReply
	acks := s.Flags&packet.TCPAck != 0
	asks, agrees := d == Request && !acks, d == Reply && acks && state&asked != 0 && !f.near(d, s)
	switch {
	case state&unproven != 0 || class(state).over():
	case asks && f.Paired():
		f.saw(asked)
	case agrees:
		f.change(numbers, unproven)
	case asks && class(state) == TCPFinWait:
		f.change(numbers, unproven|renewed)
	}
}

// takenBack returns the class of a flow that is over, after a further segment. Closed by
// both FINs it stays: there are segments that are sent again. After a RST there is silence
// from one side at least.
func (f *Flow) takenBack(d Direction, s packet.Segment, state uint32, credible bool) Class {
	const talk = talkedRequest | talkedReply
	if state&reset == 0 || state&unproven != 0 || !credible || s.Flags&packet.TCPSyn != 0 {
		return class(state)
	}
	bit := talkedRequest << d
	if !f.Paired() && state&talkedRequest != 0 { // the client's second one
		bit = talkedReply
	}
	if f.saw(bit)&talk != talk {
		return class(state)
	}
	f.change(talk|reset, 0)
	if f.Paired() {
		return TCPEstablished
	}
	return TCPOneSided
}
