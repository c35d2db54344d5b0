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
// no backend can be its own client, unless the source is another's for it, and on the link
// nothing goes back to where it came from.
func (w *worker) barred(i int, b *balancer.Backend) packet.Verdict {
	p, mode, from := &w.packets[i], b.Mode.Traits(), w.origin(i)
	switch {
	case from == balancer.NoHop:
		return packet.DropVLAN
	case !packet.Individual(from):
		return packet.DropSourceMAC
	case b.Flags&balancer.HasMAC == 0:
		return packet.DropNoNeighbour
	case mode.Translates && !mode.TranslatesSource && p.Key.Src == b.Address, mode.NeedsLink && from == w.table.Links.Origin(b.Next):
		return packet.DropLoop
	case mode.Encapsulates && (p.Key.Src == b.Address || w.table.Tunnels[b.Tunnel].From(&p.Key.Src)):
		return packet.DropLoop
	case p.Hops(w.frames[i]) <= 1:
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
//
// It is no part of deliver, as a profile would have it: what the two together keep outside
// of registers costs a packet of the other modes 3 ns.
//
//go:noinline
func (w *worker) nat(i int, r conntrack.Ref, f *conntrack.Flow, b *balancer.Backend) packet.Verdict {
	p, frame, d := &w.packets[i], w.frames[i], r.Direction()
	request := uint64(d) - 1 // a mask: all ones for a request
	from, client := packet.SourceWord(frame)|w.in, f.ClientHop()
	if p.Tagged() { // as origin, which the compiler does not inline
		from = w.tagged(i)
	}
	next := b.Next&request | client&^request
	stays := w.stays(i, next)
	if !stays {
		if next == balancer.NoHop {
			return packet.DropNoNeighbour
		}
		if mtu, ok := w.fits(i, next, 0); !ok {
			return w.tooBig(i, mtu)
		}
	}
	side, port := packet.Destination-packet.Side(d), f.Port(d)
	if !p.IPv6 && !packet.Translate4(frame, p, side, f.Low(d), port) ||
		p.IPv6 && !packet.Translate6(frame, p, side, w.flows.Address6(r), port) {
		return packet.DropTTL
	}
	if stays {
		packet.SetMACs(frame, balancer.HopMAC(next), b.Source&request|w.source&^request)
	} else if !w.cross(i, next, b.Source&request) {
		return packet.DropTooBig
	}
	if (from^client)&request != 0 { // last, so that nothing has to be kept across the call
		w.moved(i, f, from)
	}
	return packet.Forwarded
}

// direct hands a client's packet over on the link, as it is but for the hop that it costs:
// the backend holds the service's address itself and answers the client without the
// balancer.
func (w *worker) direct(i int, b *balancer.Backend) packet.Verdict {
	if b.Next == balancer.NoHop {
		return packet.DropNoNeighbour
	}
	if w.stays(i, b.Next) {
		return packet.Relay(w.frames[i], &w.packets[i], balancer.HopMAC(b.Next), b.Source)
	}
	if b.Tunnel != 0 {
		return w.enclose(i, b)
	}
	if w.origin(i) == w.table.Links.Origin(b.Next) {
		return packet.DropLoop
	}
	if mtu, ok := w.fits(i, b.Next, 0); !ok {
		return w.tooBig(i, mtu)
	}
	if !packet.Age(w.frames[i], &w.packets[i]) {
		return packet.DropTTL
	}
	if !w.cross(i, b.Next, b.Source) {
		return packet.DropTooBig
	}
	return packet.Forwarded
}
