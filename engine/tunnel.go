package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// enclose sends packet i to b as it is inside of another one: b takes it out, holds the
// service's address and answers the client without the balancer.
//
// Its TTL stays as it is, for the outer packet has its own. One that ends here does so all
// the same: what a backend without the service's address would send back is on its way for
// as many hops as others, and no longer.
func (w *worker) enclose(i int, b *balancer.Backend) packet.Verdict {
	p, t := &w.packets[i], &w.table.Tunnels[b.Tunnel]
	if p.Hops(w.frames[i]) <= 1 {
		return packet.DropTTL
	}
	if n := int(p.End - p.L3); t.Room != 0 && n > t.Room {
		return w.tooBig(i, t.Room)
	}
	tags, lead, port, next, source := &t.Tags, t.Lead, t.Port, b.Next, b.Source
	if balancer.Spreads(next) {
		next, source = w.way(i, next)
		link := w.table.Links.At(balancer.HopLink(next))
		tags, lead, port = &link.Tags, link.Tags.EthernetLen()+t.Len(), link.Port
	}
	if !w.resize(i, lead-int(p.L3)) {
		return packet.DropTooBig
	}
	w.end(i, int(p.End)) // without padding, which is a short frame's
	frame := w.frames[i]
	t.Encapsulate(frame, int(p.L3), w.hashes[i])
	packet.PutEthernet(frame, balancer.HopMAC(next), source, tags, t.IPv6())
	if port != w.port {
		w.across.leaveBy(i, port)
	}
	return packet.Forwarded
}

// enclosed looks for the flow of a packet that was sent in a tunnel, as q quotes it of packet
// i, an ICMP error.
func (w *worker) enclosed(i int, q *packet.TunnelQuote) (conntrack.Ref, bool) {
	r, ok := w.flows.Find(&q.Inner.Key, conntrack.Request)
	if !ok || q.Src != w.packets[i].Key.Dst {
		return r, false
	}
	b := w.backend(w.flows.Flow(r).BackendID)
	return r, b.Tunnel != 0 && b.Address == q.Dst
}

// tunnelled handles packet i, an ICMP error about a packet of r that was sent in a tunnel,
// as q quotes it. The client knows nothing of that tunnel, so it gets an error about its own
// packet.
func (w *worker) tunnelled(i int, r conntrack.Ref, q *packet.TunnelQuote) packet.Verdict {
	next := w.flows.Flow(r).ClientHop()
	if balancer.HopMAC(next) == 0 {
		return packet.DropNoNeighbour
	}
	v := w.answer(i, packet.DropICMP, tunnelErrors, func(frame []byte, p *packet.Packet) int {
		return packet.TunnelError(frame, p, q)
	})
	if v == packet.Replied && !w.cross(i, next, 0) {
		return packet.DropTooBig
	}
	return v
}
