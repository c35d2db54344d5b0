package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// The rewrites: one function for each mode. Each is handed a packet of a flow that may
// go on, and says what became of it. One that is dropped is as it came.

// barred says why the packet i of a new flow could not leave for b, so that no flow needs
// to be remembered for it; Pending if it can. It is DropLoop if another backend may do:
// no backend can be its own client, and on the link nothing goes back to where it came from.
func (w *worker) barred(i int, b *balancer.Backend) packet.Verdict {
	p, frame, mode := &w.packets[i], w.frames[i], b.Mode.Traits()
	switch {
	case b.Flags&balancer.HasMAC == 0:
		return packet.DropNoNeighbour
	case mode.Translates && p.Key.Src == b.Address, mode.NeedsLink && packet.SourceWord(frame) == b.MAC.Word():
		return packet.DropLoop
	case p.Hops(frame) <= 1:
		return packet.DropTTL
	}
	return packet.Pending
}

// nat routes packet i on: a request to its backend, by destination address and port, a
// reply to the client, with the service's address and port as its source. The balancer
// is a router here, so it costs one hop.
//
// Requests and replies go the same way through the code, since they come in no order
// that a branch predictor could learn.
func (w *worker) nat(i int, r conntrack.Ref, f *conntrack.Flow, b *balancer.Backend) packet.Verdict {
	p, frame, d := &w.packets[i], w.frames[i], r.Direction()
	if b.Flags&balancer.HasMAC == 0 && d == conntrack.Request {
		return packet.DropNoNeighbour
	}
	from, client := packet.SourceWord(frame), f.ClientMAC()
	side, port := packet.Destination-packet.Side(d), f.Port(d)
	if !p.IPv6 && !packet.Translate4(frame, p, side, f.Low(d), port) ||
		p.IPv6 && !packet.Translate6(frame, p, side, w.flows.Address6(r), port) {
		return packet.DropTTL
	}
	request := uint64(d) - 1 // a mask: all ones for a request
	packet.SetMACs(frame, b.MAC.Word()&request|client&^request, w.source)
	if (from^client)&request != 0 { // last, so that nothing has to be kept across the call
		w.moved(i, f, from)
	}
	return packet.Forwarded
}

// direct hands a client's packet over on the link, as it is but for the hop that it costs:
// the backend holds the service's address itself and answers the client without the
// balancer.
func (w *worker) direct(frame []byte, p *packet.Packet, b *balancer.Backend) packet.Verdict {
	if b.Flags&balancer.HasMAC == 0 {
		return packet.DropNoNeighbour
	}
	return packet.Relay(frame, p, &b.MAC, w.source)
}
