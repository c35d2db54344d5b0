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
		if size := packet.SplitAt(w.frames[i], p, mtu); size != 0 {
			return w.split(i, size, r, f, b, next, source)
		}
		return w.tooBig(i, mtu-n)
	}
	if !w.resize(i, max(n, 0)) {
		return packet.DropTooBig
	}
	w.ident++
	ends := w.flows.Ends(r, f, &b.Address, b.Port)
	w.cut(i, packet.Xlat(w.frames[i], p, &ends, w.ident))
	return w.depart(i, next, source)
}

// split has packet i leave with the first size bytes that it carries, and the others in a
// packet of their own, which counts as if it had been received like that.
func (w *worker) split(i, size int, r conntrack.Ref, f *conntrack.Flow, b *balancer.Backend, next, source uint64) packet.Verdict {
	j := w.size
	if j == len(w.descs) || w.socket.Allocate(w.descs[j:j+1]) == 0 {
		return packet.DropTooBig
	}
	w.size++
	w.frames[j] = w.socket.UMEM().Frame(w.descs[j])
	w.packets[j] = packet.Split(w.frames[i], &w.packets[i], size, w.frames[j])
	w.cut(j, int(w.packets[j].End))
	w.count.Received++
	w.count.ReceivedBytes += uint64(w.packets[j].End)
	v := w.xlat(i, r, f, b, next, source)
	if w.verdicts[j] = v; v == packet.Forwarded {
		w.verdicts[j] = w.note(j, r, w.xlat(j, r, f, b, next, source))
	}
	return v
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
	w.ident++
	ends := w.flows.Ends(r, f, &b.Address, b.Port)
	quoted := ends.Reverse()
	w.cut(i, packet.XlatError(w.frames[i], p, &ends, &quoted, w.ident))
	return w.depart(i, next, source)
}

// cut has the frame of packet i end after n bytes.
func (w *worker) cut(i, n int) {
	w.frames[i] = w.frames[i][:n]
	w.descs[i].Len = uint32(n)
}
