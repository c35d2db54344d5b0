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

// scattered returns the flow by which p, a request, goes to b, the backend with the ID.
func (w *worker) scattered(p *packet.Packet, b *balancer.Backend, id uint32) (conntrack.Ref, bool) {
	if b.Mode.Traits().TranslatesSource {
		return w.flows.FindScattered(&p.Key, id)
	}
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
