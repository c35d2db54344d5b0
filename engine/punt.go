package engine

import "github.com/afxlb/afxlb/internal/packet"

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
	case w.young.Load() && w.youth.resumes(p, w.hashes[i]):
		return packet.DropWarming // it will be sent again, and its client may have spoken by then
	}
	w.complete(i) // the kernel takes what comes this way for finished
	v := w.punt(i)
	if v == packet.DropNoFlow {
		return w.answer(i, v, backendResets, packet.Reset)
	}
	return v
}

// foreign handles packet i, which is about no flow. It is for the kernel if k, what it is
// about as a reply, comes from a backend, else it is dropped as v.
func (w *worker) foreign(i int, k *packet.Key, v packet.Verdict) packet.Verdict {
	if w.table.HasAddress(&w.packets[i].Key.Dst) || !w.table.HasBackend(&k.Src) {
		return v
	}
	if punted := w.punt(i); punted != packet.DropNoFlow {
		return punted
	}
	return v
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
