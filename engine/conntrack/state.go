package conntrack

import (
	"time"

	"github.com/afxlb/afxlb/internal/packet"
)

// Class is a flow's stage of life; it decides the timeout and the budget.
type Class uint8

// The classes, in an order that a flow never goes back in. A record is embryonic
// until both sides, as far as the balancer can see them, have shown that the flow is
// real.
const (
	TCPSyn         Class = iota // handshake under way, or picked up in mid-stream
	UDPNew                      // one packet, or one-way
	ICMP                        // echo
	TCPEstablished              //
	UDPEstablished              //
	TCPClosing                  // both FINs or a RST seen
	numClasses
)

var classNames = [numClasses]string{"tcp-syn", "udp-new", "icmp", "tcp-established", "udp-established", "tcp-closing"}

// String returns the class's name, as the configuration's timeouts spell it.
func (c Class) String() string { return classNames[c] }

func (c Class) embryonic() bool { return c <= ICMP }

// live reports whether a flow of this class counts as a connection of its
// backend for least-conn and two-choices.
func (c Class) live() bool { return c != TCPClosing }

// Timeouts says how long a flow of each class may be idle.
type Timeouts [numClasses]time.Duration

// DefaultTimeouts returns the product's defaults.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		TCPSyn:         10 * time.Second,
		UDPNew:         30 * time.Second,
		ICMP:           10 * time.Second,
		TCPEstablished: 15 * time.Minute,
		UDPEstablished: 2 * time.Minute,
		TCPClosing:     10 * time.Second,
	}
}

// Bits of Flow.state: events, the class, and on top whether the record is live. The
// latter two change only under the home shard's lock.
const (
	sawRequest uint32 = 1 << iota
	sawReply
	finRequest
	finReply

	classShift        = 24
	classMask  uint32 = 0x7f
	live       uint32 = 1 << 31
)

// Class returns the flow's stage of life.
func (f *Flow) Class() Class { return class(f.state.Load()) }

func class(state uint32) Class { return Class(state >> classShift & classMask) }

// Settled reports whether the record is live and established, and a packet with these
// TCP flags (0 if it is not TCP) changes nothing about that: what is true of nearly
// every packet, by one load.
func (f *Flow) Settled(tcpFlags uint8) bool {
	top := uint8(f.state.Load() >> classShift)
	return top-uint8(live>>classShift)-uint8(TCPEstablished) <= uint8(UDPEstablished-TCPEstablished) &&
		tcpFlags&(packet.TCPFin|packet.TCPRst) == 0
}

func (f *Flow) setClass(c Class) {
	for {
		old := f.state.Load()
		if f.state.CompareAndSwap(old, old&^(classMask<<classShift)|uint32(c)<<classShift) {
			return
		}
	}
}

func (f *Flow) saw(bits uint32) {
	if f.state.Load()&bits != bits {
		f.state.Or(bits)
	}
}

// Advance takes one packet into account and returns the class that the flow
// should now be in. Most packets change nothing and write nothing. The caller
// hands a changed class to [Table.Reclassify].
//
// The rules, after the close tracking of IPVS (Linux ip_vs_proto_tcp.c) with
// its distinction between seeing both directions and one:
//
//   - With replies in sight, a TCP flow is established by the client's ACK after
//     an answer of the backend, and closing after a RST or both FINs. A single
//     FIN is a half-close, which may last.
//   - Without (dsr), the client's second packet establishes it and its FIN
//     closes it; its further ACKs keep the record alive while the backend is
//     still sending.
//   - A flow picked up in mid-stream has to earn its place the same way, so that
//     a flood of bare ACKs stays in the embryonic budget.
func (f *Flow) Advance(d Direction, tcpFlags uint8) Class {
	state := f.state.Load()
	switch class := class(state); class {
	case TCPEstablished:
		if tcpFlags&(packet.TCPFin|packet.TCPRst) == 0 {
			return class
		}
	case UDPNew:
		return f.advanceUDP(d, state)
	case UDPEstablished, ICMP, TCPClosing:
		return class
	}
	return f.advanceTCP(d, tcpFlags, state)
}

func (f *Flow) advanceUDP(d Direction, state uint32) Class {
	if d == Reply || !f.Paired() && state&sawRequest != 0 {
		return UDPEstablished
	}
	f.saw(sawRequest)
	return UDPNew
}

func (f *Flow) advanceTCP(d Direction, flags uint8, state uint32) Class {
	if flags&packet.TCPRst != 0 {
		return TCPClosing
	}
	if flags&packet.TCPFin != 0 {
		fin, both := finRequest, finRequest|finReply
		if d == Reply {
			fin = finReply
		}
		if !f.Paired() {
			both = finRequest
		}
		if f.saw(fin); f.state.Load()&both == both {
			return TCPClosing
		}
	}
	class := class(state)
	if d == Reply {
		f.saw(sawReply)
		return class
	}
	proof := sawReply
	if !f.Paired() {
		proof = sawRequest
	}
	if class == TCPSyn && flags&(packet.TCPSyn|packet.TCPAck) == packet.TCPAck && state&proof != 0 {
		class = TCPEstablished
	}
	f.saw(sawRequest)
	return class
}

// Reopens reports whether a request with these flags starts a new connection on
// the tuple of one that is over: the old record must not choose its backend.
func (f *Flow) Reopens(tcpFlags uint8) bool {
	return tcpFlags&(packet.TCPSyn|packet.TCPAck|packet.TCPRst) == packet.TCPSyn && f.Class() == TCPClosing
}
