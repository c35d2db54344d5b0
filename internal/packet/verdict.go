package packet

// Verdict says how a packet's life in the balancer ended. Every packet that a
// worker receives ends in exactly one. The one list serves as counter index,
// metric label, CLI row, capture filter and documentation.
type Verdict uint8

// The verdicts. Pending is the zero value of a packet still under way; a worker
// never counts it.
const (
	Pending Verdict = iota
	Forwarded
	Replied
	Punted
	DropTruncated
	DropMalformed
	DropMartian
	DropNotIP
	DropProtocol
	DropFragment
	DropTiny
	DropOverlap
	DropOverflow
	DropOrphan
	DropICMP
	DropNoService
	DropNoFlow
	DropNoBackend
	DropBackendFull
	DropWarming
	DropBackendDown
	DropNoNeighbour
	DropTTL
	DropTupleClash
	DropNoSource
	DropTableFull
	DropReplyLimit
	DropTooBig
	DropLoop
	DropVLAN
	DropSourceMAC
	DropPuntLimit
	DropPuntFailed
	DropTxFull
	DropLinkDown
	DropStandby
	NumVerdicts
)

var verdicts = [NumVerdicts]struct{ name, help string }{
	Pending:         {"pending", "not decided yet; never counted"},
	Forwarded:       {"forwarded", "rewritten and put on the TX ring"},
	Replied:         {"replied", "answered by the balancer itself: echo reply, TCP reset or challenge ACK, or ICMP unreachable, too big or time exceeded"},
	Punted:          {"punted", "given back to the kernel, which has it as if it had come without the balancer"},
	DropTruncated:   {"truncated", "the frame ends before the headers or the packet that it announces"},
	DropMalformed:   {"malformed", "a header contradicts itself or another one: version, header length or packet length; where IPv4 becomes IPv6, also a wrong header checksum"},
	DropMartian:     {"martian", "an address that cannot cross a router: multicast, unspecified, loopback or link-local source, IPv4-mapped IPv6, or a snat-address as the source of a client, or the service itself"},
	DropNotIP:       {"not-ip", "neither IPv4 nor IPv6 inside at most two VLAN tags"},
	DropProtocol:    {"protocol", "an IP protocol, extension header or, where IPv4 becomes IPv6, source route that the balancer does not handle"},
	DropFragment:    {"fragment", "an IP fragment of what is not served, or that has nobody to follow: the first one of its packet was answered, or the flow is gone; where IPv4 becomes IPv6, also the first one of a datagram without a checksum"},
	DropTiny:        {"fragment-tiny", "the first fragment of a packet without all of its headers, or another one that begins within them"},
	DropOverlap:     {"fragment-overlap", "a fragment that overlaps another one of its packet, or contradicts it, or is its copy"},
	DropOverflow:    {"fragment-overflow", "a fragment that ends where no packet does, or for which there was no room until its first one came"},
	DropOrphan:      {"fragment-orphan", "a fragment whose first one did not come in time"},
	DropICMP:        {"icmp", "an ICMP message that is neither an echo request nor an error about a known flow"},
	DropNoService:   {"no-service", "no service has this address, protocol and port"},
	DropNoFlow:      {"no-flow", "it belongs to no known flow, and is of no use to the kernel or another backend"},
	DropNoBackend:   {"no-backend", "no backend of the service is in rotation, and on-no-backend is drop"},
	DropBackendFull: {"backend-full", "every backend in rotation has max-conns connections; for a TCP connection that is not open yet, and on-no-backend is drop"},
	DropWarming:     {"warming", "no backend of the service is known to be up yet, or the balancer has just started and learns the connection from its client; dropped without an answer, so that the sender repeats"},
	DropBackendDown: {"backend-down", "the flow's backend is gone, and on-down forbids to move the flow"},
	DropNoNeighbour: {"no-neighbour", "the next hop's MAC address is not known (yet)"},
	DropTTL:         {"ttl", "the TTL or hop limit ran out here"},
	DropTupleClash:  {"tuple-clash", "every backend already talks to this client address and port for another service, so a reply could not be told apart"},
	DropNoSource:    {"snat-exhausted", "all ports of all snat-addresses are in use towards every backend that could have the flow; dropped without an answer, so that the client repeats"},
	DropTableFull:   {"table-full", "no flow record could be had, not even by eviction"},
	DropReplyLimit:  {"reply-limit", "an answer was due, but the rate limit for answers is used up"},
	DropTooBig:      {"too-big", "the packet, its rewritten form or its answer does not fit into a frame, or into the MTU of its way and lets nobody be told"},
	DropLoop:        {"loop", "it would go back to the machine that it came from, or comes from a backend that it was sent to already"},
	DropVLAN:        {"vlan", "its VLAN can't be remembered for the replies: more than two thousand different ones have been seen"},
	DropSourceMAC:   {"source-mac", "its source is no machine's MAC address, but zero or a group's, so that nobody could have an answer"},
	DropPuntLimit:   {"punt-limit", "to be given back to the kernel, but the rate limit for that is used up"},
	DropPuntFailed:  {"punt-failed", "to be given back to the kernel, but there is no way to, or the kernel refused it"},
	DropTxFull:      {"tx-full", "the TX ring stayed full"},
	DropLinkDown:    {"link-down", "the interface was down or gone when the packet was to leave"},
	DropStandby:     {"standby", "it came by a bond's slave that is not active: a copy of what comes by the active one, or too early after a change of these"},
}

// String returns the short, stable name: the counter's name and metric label.
func (v Verdict) String() string {
	if v >= NumVerdicts {
		return "unknown"
	}
	return verdicts[v].name
}

// Help returns one sentence for people.
func (v Verdict) Help() string {
	if v >= NumVerdicts {
		return ""
	}
	return verdicts[v].help
}

// Class is the kind of end that a packet came to: what becomes of its frame.
type Class uint8

// The classes. Each verdict but Pending has one of them.
const (
	ClassForward Class = iota + 1 // sent on
	ClassReply                    // sent back
	ClassPunt                     // given to the kernel
	ClassDrop                     // nowhere; the verdict is the reason
)

// Class returns v's class; 0 for Pending and for what is no verdict.
func (v Verdict) Class() Class {
	switch {
	case v.IsDrop():
		return ClassDrop
	case v < NumVerdicts:
		return Class(v) // those that are no drops are in the classes' order
	}
	return 0
}

// Leaves reports whether a packet of this verdict goes out by the TX ring.
func (v Verdict) Leaves() bool { return v == Forwarded || v == Replied }

// IsDrop reports whether v is a drop reason.
func (v Verdict) IsDrop() bool { return v > Punted && v < NumVerdicts }
