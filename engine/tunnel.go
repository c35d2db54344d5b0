package engine

import (
	"github.com/afxlb/afxlb/balancer"
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
	tags, port, next, source := t.Tags, t.Port, b.Next, b.Source
	if balancer.Spreads(next) {
		next, source = w.way(i, next)
		link := w.table.Links.At(balancer.HopLink(next))
		tags, port = link.Tags, link.Port
	}
	if !w.resize(i, tags.EthernetLen()+t.Len()-int(p.L3)) {
		return packet.DropTooBig
	}
	w.end(i, int(p.End)) // without padding, which is a short frame's
	frame := w.frames[i]
	t.Encapsulate(frame, int(p.L3), w.hashes[i])
	packet.PutEthernet(frame, balancer.HopMAC(next), source, &tags, t.IPv6())
	if port != w.port {
		w.across.leaveBy(i, port)
	}
	return packet.Forwarded
}
