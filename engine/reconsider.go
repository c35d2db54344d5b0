package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// Requests of known flows that may not go on as they did: the backend is down, drained or
// removed, or the client asks for a connection on the tuple of one that is there.

// reconsider handles packet i, a request of such a flow.
func (w *worker) reconsider(i int, r conntrack.Ref, f *conntrack.Flow) packet.Verdict {
	// A flow may be younger than the table of this batch, which knows nothing of its
	// backend then.
	w.renew()
	p, b := &w.packets[i], w.backend(f.BackendID)
	s := w.table.Lookup(&p.Key)
	switch {
	case s == nil || f.Reopens(p.TCPFlags):
		return w.again(i, r, s)
	case !keeps(s, b) && s.OnDown == balancer.Reset:
		w.flows.Remove(r)
		return w.answer(i, packet.DropBackendDown, resets, packet.Reset)
	case !keeps(s, b):
		return w.again(i, r, s)
	case p.Opens():
		return w.knock(i, r, f, s)
	case b.Flags&balancer.Drained != 0 && p.Key.Proto == packet.ProtoUDP && len(s.Eligible()) > 0:
		return w.again(i, r, s) // nobody will say when such a flow is over
	}
	return w.deliver(i, r, f, b)
}

// outgrown reports whether f, the flow of packet i, a request, can't go on as it began, since
// a reload has given its service another mode. A connection goes on until one of its ends
// ends it, unless its answers do not come by any more; but nobody will say when a flow of UDP
// is over.
func (w *worker) outgrown(i int, r conntrack.Ref, f *conntrack.Flow) bool {
	p := &w.packets[i]
	if r.Direction() != conntrack.Request || p.Part == packet.Later || w.fitted(f) {
		return false
	}
	w.renew() // the flow may be younger than the table of this batch
	returns := w.backend(f.BackendID).Mode.Traits().RepliesReturn
	return !w.fitted(f) && (p.Key.Proto == packet.ProtoUDP || f.Paired() && !returns)
}

// fitted reports whether f is as flows of its service are. One whose service is gone is.
func (w *worker) fitted(f *conntrack.Flow) bool {
	b := w.backend(f.BackendID)
	mode := b.Mode.Traits()
	return b.Service == balancer.NoService || f.Paired() == mode.RepliesReturn && f.Masked() == mode.TranslatesSource
}

// again has packet i choose anew, as if its flow had never been.
func (w *worker) again(i int, r conntrack.Ref, s *balancer.Service) packet.Verdict {
	if w.witness != nil {
		w.witness.add(Finding{What: FlowLeft, Service: s, Backend: w.flows.Flow(r).BackendID})
	}
	w.flows.Remove(r)
	return w.assign(i, s)
}

// keeps reports whether the flows of s at b stay there. With no backend in rotation, or if
// all of them seemed dead at one moment, they do even when b is down: it is more likely the
// balancer's own link that was.
func keeps(s *balancer.Service, b *balancer.Backend) bool {
	if b.Flags&balancer.Usable != 0 {
		return true
	}
	alone := len(s.Eligible()) == 0 || b.Flags&balancer.Suspect != 0
	return b.Flags&balancer.Present != 0 && (s.OnDown == balancer.Keep || s.OnDown == balancer.Reassign && alone)
}

// knock handles packet i, a SYN on a flow that is not over, as far as is known. The
// client may have died and be back, or somebody else may have sent it. So it goes to the
// flow's backend, which knows, and changes nothing until that has answered. A backend
// that shall get no new connections is not asked: the SYN is answered as it would answer
// (RFC 5961, 4.2), and a client that knows of no connection ends the old one by a RST.
// Its next SYN finds that over.
func (w *worker) knock(i int, r conntrack.Ref, f *conntrack.Flow, s *balancer.Service) packet.Verdict {
	b := w.backend(f.BackendID)
	if b.Weight > 0 && b.Flags&balancer.Usable != 0 {
		return w.deliver(i, r, f, b)
	}
	if f.Proven() {
		return w.challenge(i, f)
	}
	if w.packets[i].Segment(w.frames[i]).Next == f.Expected(conntrack.Request) {
		return w.deliver(i, r, f, b) // the one that made the flow, once more
	}
	return w.again(i, r, s)
}

// challenge answers packet i, a SYN on a connection that lives as far as is known. The answer
// goes where the connection's replies go, as a server's would: it has the numbers by which
// a stranger who sent the SYN could end or divert the connection.
func (w *worker) challenge(i int, f *conntrack.Flow) packet.Verdict {
	w.locate(i, f)
	// One below what the client expects: not for a moment does one that has the
	// connection take it for news.
	seq, ack := f.Expected(conntrack.Reply)-1, f.Expected(conntrack.Request)
	v := w.answer(i, packet.DropNoFlow, challenges, func(frame []byte, p *packet.Packet) int {
		return packet.ChallengeACK(frame, p, seq, ack)
	})
	if v == packet.Replied && !w.cross(i, f.ClientHop(), 0) {
		return packet.DropTooBig
	}
	return v
}
