package conntrack

import "time"

// Class is a flow's stage of life; it decides the timeout and the budget.
type Class uint8

// The classes, in the order of a flow's life. A record is embryonic
// until both sides, as far as the balancer can see them, have shown that the flow is
// real.
const (
	TCPSyn         Class = iota // handshake under way, or picked up in mid-stream
	ICMP                        // echo
	UDPNew                      // one packet, or one-way
	TCPEstablished              // also when one side has sent its FIN
	UDPEstablished              //
	TCPOneSided                 // established, as far as the client's side tells: nobody else was seen
	UDPOneSided                 //
	TCPFinWait                  // the client's FIN was seen, and the backend's side never is
	TCPClosing                  // over: both FINs or a credible RST
	TCPRefused                  // over: the backend's RST within a second
	numClasses
)

var classNames = [numClasses]string{
	TCPSyn: "tcp-syn", ICMP: "icmp", UDPNew: "udp-new",
	TCPEstablished: "tcp-established", UDPEstablished: "udp-established",
	TCPOneSided: "tcp-one-sided", UDPOneSided: "udp-one-sided",
	TCPFinWait: "tcp-fin-wait", TCPClosing: "tcp-closing", TCPRefused: "tcp-refused",
}

// String returns the class's name: of one that has a timeout of its own as the
// configuration spells it.
func (c Class) String() string { return classNames[c] }

// kind is a set of classes.
type kind uint16

const (
	embryonicKind kind = 1<<TCPSyn | 1<<UDPNew | 1<<ICMP
	// Both sides were seen.
	provenKind kind = 1<<TCPEstablished | 1<<UDPEstablished
	// Real as far as packets of the client's side tell: two with any source make one.
	oneSidedKind    kind = 1<<TCPOneSided | 1<<UDPOneSided | 1<<TCPFinWait
	overKind        kind = 1<<TCPClosing | 1<<TCPRefused
	establishedKind      = provenKind | oneSidedKind | overKind
)

func (k kind) has(c Class) bool { return k>>c&1 != 0 }

// over reports whether the connection is no more, so that a SYN begins another one.
func (c Class) over() bool { return overKind.has(c) }

// live reports whether a flow of this class counts as a connection of its backend for
// least-conn and two-choices. One that was refused does for a while, or the backend that
// refuses would seem to be the one with the least to do.
func (c Class) live() bool { return c != TCPClosing }

// stands reports whether a flow of this class is one that both its ends have agreed to, as far
// as is seen, and that is not over: what max-conns of its backend bounds.
func (c Class) stands() bool { return (provenKind | oneSidedKind).has(c) }

// Timeouts says how long a flow of each class may be idle. Those of one-sided flows are
// those of established ones, and that of refused ones is that of closing ones; what is in
// their places is not used.
type Timeouts [numClasses]time.Duration

// DefaultTimeouts returns the product's defaults.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		TCPSyn:         10 * time.Second,
		UDPNew:         30 * time.Second,
		ICMP:           10 * time.Second,
		TCPEstablished: 15 * time.Minute,
		UDPEstablished: 2 * time.Minute,
		TCPFinWait:     2 * time.Minute, // as IPVS's FIN_WAIT (ip_vs_proto_tcp.c)
		TCPClosing:     10 * time.Second,
	}
}

// timeout returns how long flows of class c may be idle.
func (t *Timeouts) timeout(c Class) time.Duration {
	switch c {
	case TCPOneSided:
		c = TCPEstablished
	case UDPOneSided:
		c = UDPEstablished
	case TCPRefused:
		c = TCPClosing
	}
	return t[c]
}
