package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// full refuses packet i, of a connection with s that cannot begin for want of room.
func (w *worker) full(i int, s *balancer.Service) packet.Verdict {
	w.count.Full++
	return w.refuse(i, s, packet.DropBackendFull)
}

// overfull handles packet i, which ends the handshake of f, if f's backend has got as many
// connections as it may have since the SYN; Pending says that it has not. That is seldom, for
// SYNs go elsewhere in time; see balancer/open.go. The client, which thinks that it has a
// connection, is told by a RST that it has none, or where on-no-backend is drop hears nothing:
// its handshake goes on when it or the backend repeats itself, and there may be room then.
func (w *worker) overfull(i int, r conntrack.Ref, f *conntrack.Flow) packet.Verdict {
	if !w.picker.Full(w.table, f.BackendID) {
		return packet.Pending
	}
	s := w.table.Lookup(&w.packets[i].Key)
	if s == nil {
		return packet.Pending
	}
	v := w.full(i, s)
	if v == packet.Replied {
		w.flows.Remove(r)
	}
	return v
}
