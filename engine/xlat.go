package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// Full NAT between families: the client speaks IPv4 and the backend IPv6, or the reverse. The
// packet gets another IP header (RFC 7915), 20 bytes longer or shorter as a rule, so it may
// not fit where it fitted before.

// xlat is fullnat for a flow whose client and backend are of two families. next is where the
// packet goes, and source the MAC address there; 0: the port's.
func (w *worker) xlat(i int, r conntrack.Ref, f *conntrack.Flow, b *balancer.Backend, next, source uint64) packet.Verdict {
	p := &w.packets[i]
	n, v := packet.XlatGrowth(w.frames[i], p)
	if v != packet.Pending {
		return v
	}
	if next == balancer.NoHop {
		return packet.DropNoNeighbour
	}
	if _, ok := w.fits(i, next, n); !ok {
		return packet.DropTooBig
	}
	if !w.resize(i, max(n, 0)) {
		return packet.DropTooBig
	}
	w.ident++
	ends := w.flows.Ends(r, f, &b.Address, b.Port)
	w.cut(i, packet.Xlat(w.frames[i], p, &ends, w.ident))
	if !w.cross(i, next, source) {
		return packet.DropTooBig
	}
	return packet.Forwarded
}

// cut has the frame of packet i end after n bytes.
func (w *worker) cut(i, n int) {
	w.frames[i] = w.frames[i][:n]
	w.descs[i].Len = uint32(n)
}
