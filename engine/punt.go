package engine

import (
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// The road back to the kernel. Replies are steered by where they come from, since the
// kernel's part does not know the flows; so among them is what backends send from a
// service's port for reasons of their own, and what is left of flows that are forgotten.
// A client's packet to a service never goes this way: the kernel would answer it.

// stray handles packet i, which is for no service and of no flow: it goes back to the
// kernel if that came from a backend. Where the kernel would not pass it on, a backend
// that still believes in a connection is told that there is none.
func (w *worker) stray(i int) packet.Verdict {
	p := &w.packets[i]
	switch {
	case w.table.HasAddress(&p.Key.Dst):
		return packet.DropNoService
	case !w.table.HasBackend(&p.Key.Src): // a client's, to a service that is gone
		return packet.DropNoFlow
	}
	v := w.punt(i)
	if v == packet.DropNoFlow && p.Key.Proto == packet.ProtoTCP {
		return w.answer(i, v, backendResets, packet.Reset)
	}
	return v
}

// fragment handles packet i, which is one. Those from a backend to somebody who has no
// flow there are none of the balancer's. Of the others only the first says whether it is
// of a flow, and without it the rest is of no use to anybody.
func (w *worker) fragment(i int) packet.Verdict {
	p := &w.packets[i]
	if w.table.HasAddress(&p.Key.Dst) || !w.table.HasBackend(&p.Key.Src) {
		return packet.DropFragment
	}
	if _, known := w.flows.Find(&p.Key, conntrack.Reply); known {
		return packet.DropFragment
	}
	if v := w.punt(i); v != packet.DropNoFlow {
		return v
	}
	return packet.DropFragment
}

// punt gives packet i back to the kernel. It is DropNoFlow, and as it came, if that would
// not pass it on: it does not forward, or nobody is behind the packet's VLAN tags there.
func (w *worker) punt(i int) packet.Verdict {
	p := &w.packets[i]
	switch {
	case !w.device.Forwards(p.IPv6) || p.Tagged():
		return packet.DropNoFlow
	case !w.budgets[punts].take(w.now):
		return packet.DropPuntLimit
	case !w.device.Write(w.id, w.frames[i]):
		return packet.DropPuntFailed
	}
	return packet.Punted
}
