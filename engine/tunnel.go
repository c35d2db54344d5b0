package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
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
	narrow := t.Room != 0 && int(p.End-p.L3) > t.Room
	if narrow && !packet.MustCarry(p) {
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
	if narrow && !w.divide(i, t, lead-t.Len(), port) {
		return packet.DropTooBig
	}
	if port != w.port {
		w.across.leaveBy(i, port)
	}
	return packet.Forwarded
}

// divide has packet i, which is one of the tunnel's by now with its outer header at at, leave by
// the port in fragments: all but the last at once, and the last in its place. What it was is
// there for this batch, for others to read. It returns false if there is no room for them.
func (w *worker) divide(i int, t *balancer.Tunnel, at int, port uint8) bool {
	const most = 16 // what must go is small
	var extra [most]xsk.Desc
	s, frame, mtu := w.arms.sockets[port], w.frames[i], t.Room+t.Len()
	n := t.OuterPieces(len(frame)-at, mtu) - 1
	if s == nil || s.Closed() || n < 1 || n > most {
		return false
	}
	s.Recycle()
	last := w.drop[:1] // which nothing else uses before the batch is sent
	have := s.Allocate(extra[:n])
	if have < n || w.socket.Allocate(last) == 0 {
		s.Release(extra[:have])
		return false
	}
	id := uint32(w.hashes[i])<<16 | uint32(w.fragments.NewID())
	write := func(to []byte, k int) uint32 {
		copy(to, frame[:at])
		return uint32(at + t.OuterPiece(to[at:], frame[at:], mtu, k, id))
	}
	for k := range n {
		extra[k].Len = write(s.UMEM().Frame(extra[k]), k)
	}
	last[0].Len = write(w.socket.UMEM().Frame(last[0]), n)
	w.descs[i], last[0] = last[0], w.descs[i]
	w.socket.Release(last)
	sent := s.Transmit(extra[:n])
	s.Release(extra[sent:n])
	w.owed |= 1 << port
	w.count.Ports[port].Sent += uint64(sent)
	return sent == n
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
