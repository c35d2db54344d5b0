package engine

import (
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// Neighbours on the same machine, over a veth or from a virtual machine, send checksums
// unfinished, and leave it to hardware that never comes to finish them. To look for that
// costs a packet some time, and to finish one much more. So it is looked for only while a
// flow's state changes, and in one packet of each batch; and a flow in which it was found
// takes the long way from then on.

// examine looks at what changes seldom of packet i, of flow f. It returns a verdict if the flow
// is not as it should be any more, and so not the packet's. It is no part of deliver, whatever a
// profile says, or nothing would be of what each packet needs.
//
//go:noinline
func (w *worker) examine(i int, r conntrack.Ref, f *conntrack.Flow) packet.Verdict {
	if w.outgrown(i, r, f) {
		return w.again(i, r, w.table.Lookup(&w.packets[i].Key))
	}
	if w.table.Limited(f.BackendID) && r.Direction() == conntrack.Request && f.Completes(conntrack.Request, w.packets[i].Segment(w.frames[i])) {
		if v := w.overfull(i, r, f); v != packet.Pending {
			return v
		}
	}
	w.inspect(i, f)
	return packet.Pending
}

// inspect looks whether packet i, of flow f, has to be finished.
func (w *worker) inspect(i int, f *conntrack.Flow) {
	if w.complete(i) {
		f.MarkUnfinished()
	}
}

// complete finishes the checksum of packet i if it came without, and reports whether it did.
func (w *worker) complete(i int) bool {
	if !packet.CompleteChecksum(w.frames[i], &w.packets[i]) {
		return false
	}
	w.count.Completed++
	return true
}
