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
	if mtu, ok := w.fits(i, next, n); !ok {
		if packet.Divisible(w.frames[i], p) { // IPv6 has no router do that
			packet.SumUDP(w.frames[i], p)
			return w.cut(i, mtu-packet.XlatMaxGrowth)
		}
		return w.tooBig(i, mtu-n)
	}
	if !w.resize(i, max(n, 0)) {
		return packet.DropTooBig
	}
	if p.IPv6 {
		w.ident++
	}
	ends := w.flows.Ends(r, f, &b.Address, b.Port)
	w.end(i, packet.Xlat(w.frames[i], p, &ends, w.ident))
	return w.depart(i, next, source)
}

// xlatError is xlat for an ICMP error, about a packet that went the opposite way of what r
// stands for. It fits where any packet does, since of the quote as much is cut off.
func (w *worker) xlatError(i int, r conntrack.Ref, f *conntrack.Flow, b *balancer.Backend, next, source uint64) packet.Verdict {
	p := &w.packets[i]
	n, v := packet.XlatErrorGrowth(w.frames[i], p)
	if v != packet.Pending {
		return v
	}
	if next == balancer.NoHop || balancer.HopMAC(next) == 0 {
		return packet.DropNoNeighbour
	}
	if !w.resize(i, max(n, 0)) {
		return packet.DropTooBig
	}
	if p.IPv6 {
		w.ident++
	}
	ends := w.flows.Ends(r, f, &b.Address, b.Port)
	quoted := ends.Reverse()
	w.end(i, packet.XlatError(w.frames[i], p, &ends, &quoted, w.ident))
	return w.depart(i, next, source)
}

// end has the frame of packet i end after n bytes.
func (w *worker) end(i, n int) {
	w.frames[i] = w.frames[i][:n]
	w.descs[i].Len = uint32(n)
}
