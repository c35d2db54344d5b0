package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// Services without affinity: each datagram is balanced for itself, though many come from
// one port, as those of resolvers and of syslog do. Where replies come back there is a flow
// to each backend, by which the replies find their service and client. None of these is ever
// found by a request.

// scatters reports whether the datagrams of s are balanced one by one.
func scatters(s *balancer.Service) bool { return s.Affinity == balancer.AffinityNone }

// scattered returns the flow by which p, a request, goes to b.
func (w *worker) scattered(p *packet.Packet, b *balancer.Backend) (conntrack.Ref, bool) {
	reply := packet.Key{Src: b.Address, Dst: p.Key.Src, SrcPort: b.Port, DstPort: p.Key.SrcPort, Proto: p.Key.Proto}
	if reply.SrcPort == 0 {
		reply.SrcPort = p.Key.DstPort
	}
	r, ok := w.flows.Find(&reply, conntrack.Reply)
	if !ok {
		return 0, false
	}
	return r ^ conntrack.Ref(conntrack.Reply), w.flows.Flow(r).Scattered() && w.flows.RequestKey(r) == p.Key
}

// toss sends packet i to the backend with the ID, of whose answers nothing comes by: there
// is nothing to remember.
func (w *worker) toss(i int, id uint32) packet.Verdict {
	v := w.direct(i, &w.table.Backends[id])
	w.hashes[i] = uint64(id)
	if v = w.note(i, noFlow, v); v != packet.Forwarded {
		return w.undelivered(i, v)
	}
	return v
}

// nobody is the ID of no backend.
const nobody = ^uint32(0)

// taker returns the ID of the backend that has got packet i, the first fragment of a
// datagram, of which v is the verdict.
func (w *worker) taker(i int, v packet.Verdict) uint32 {
	switch r := w.refs[i]; {
	case v != packet.Forwarded:
		return nobody
	case r != noFlow:
		return w.flows.Flow(r).BackendID
	}
	return uint32(w.hashes[i])
}

// alike sends packet i, a further fragment of a datagram to s, where the first one went.
func (w *worker) alike(i int, s *balancer.Service, id uint32) packet.Verdict {
	if id == nobody {
		return packet.DropFragment
	}
	p, b := &w.packets[i], w.backend(id)
	if !s.Mode.Traits().RepliesReturn {
		return w.toss(i, id)
	}
	r, ok := w.scattered(p, b)
	if !ok {
		return packet.DropFragment
	}
	w.refs[i] = r
	p.Key.Proto = 0 // there is no header of it to be rewritten
	return w.deliver(i, r, w.flows.Flow(r), b)
}
