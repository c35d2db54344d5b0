package engine

import (
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// moved handles that packet i, a request of f, comes from elsewhere, by its hop word, than the
// flow's replies go to: from a router that took over, from one of several that share the
// load, or from somebody who wants to have the replies. They follow the packet that made
// the flow, and later ones only if these prove to be of the connection, or if nobody but a
// router of ours loses or gets anything.
func (w *worker) moved(i int, f *conntrack.Flow, from uint64) {
	s, was := w.packets[i].Segment(w.frames[i]), f.ClientHop()
	switch {
	case !packet.Individual(from): // it can't be told, or is nobody
		return
	case was == 0: // the first
	case s.Flags&packet.TCPAck != 0 && f.Proves(conntrack.Request, s.Seq, s.Ack):
	case s.Flags&packet.TCPSyn != 0 && !f.Proven(): // nobody had the replies yet, or again
	case w.table.IsGateway(was) && w.table.IsGateway(from):
	default:
		return
	}
	f.LearnClientHop(from)
}

// locate notes where packet i, a request of f, comes from, if that is to be believed. It is
// for flows whose replies go by, too: an answer of the balancer's own has to find the client.
func (w *worker) locate(i int, f *conntrack.Flow) {
	if from := w.origin(i); from != f.ClientHop() {
		w.moved(i, f, from)
	}
}
