package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// ICMP errors about flows. Each is for who has sent the packet that it quotes, and that end
// knows the packet as it has sent it:
//
//	about      seen by                quotes            goes to
//	a request  the backend's side     client → backend  the client, as from the service
//	a reply    the client's side      service → client  the backend
//
// Anybody can make one up who knows the ports, and no more than that. So it changes nothing
// of the flow, and does not keep it alive; the ends judge it by the sequence numbers that it
// quotes (RFC 5927, 4.1).

// icmp handles packet i, an ICMP message that is no echo request.
func (w *worker) icmp(i int) packet.Verdict {
	p := &w.packets[i]
	if t, ok := packet.QuotedTunnel(w.frames[i], p); ok {
		if r, ok := w.enclosed(i, &t); ok {
			return w.tunnelled(i, r, &t)
		}
	}
	q, ok := packet.Quoted(w.frames[i], p)
	if !ok || q.Key.Src != p.Key.Dst { // as nf_conntrack_inet_error of Linux has it (net/netfilter/nf_conntrack_proto_icmp.c)
		return packet.DropICMP
	}
	k := q.Key.Reverse()
	s := w.table.Lookup(&k)
	if r, ok := w.known(&k, s); ok {
		return w.relate(i, r, &q)
	}
	if s != nil && scatters(s) {
		// Which backend it is that sent what is quoted, the quote does not say.
		if r, ok := w.flows.FindLatest(&k, w.now); ok {
			return w.relate(i, r, &q)
		}
	}
	if w.table.HasAddress(&q.Key.Dst) {
		if r, ok := w.flows.Find(&q.Key, conntrack.Request); ok && !w.flows.Flow(r).Paired() {
			return w.passOn(i, r)
		}
	}
	if s != nil && s.Algorithm.Hashes() && !s.Mode.Traits().TranslatesSource {
		return w.guess(i, s, &k, &q)
	}
	return w.foreign(i, &k, packet.DropICMP)
}

// relate hands packet i on, an error about a packet that goes the opposite way of what r
// stands for: rewritten as those are, or whole.
func (w *worker) relate(i int, r conntrack.Ref, q *packet.Quote) packet.Verdict {
	f, d := w.flows.Flow(r), r.Direction()
	b := w.backend(f.BackendID)
	next, source := b.Next, b.Source
	if d == conntrack.Reply {
		next, source = f.ClientHop(), 0
	}
	var v packet.Verdict
	switch {
	case !f.Paired():
		v = w.direct(i, b)
	case f.Mixed():
		v = w.xlatError(i, r, f, b, next, source)
	case f.Masked():
		v = w.fullnatError(i, r, f, b, q, next, source)
	default:
		addr := packet.AddrFromLow(f.Low(d))
		if w.packets[i].IPv6 {
			addr = *w.flows.Address6(r)
		}
		v = w.natError(i, q, packet.Destination-packet.Side(d), &addr, f.Port(d), next, source)
	}
	return w.note(i, r, v)
}

// natError is nat for an error. What comes from the backend's side has the service's address
// as its source from here on, whoever sent it: routers there are nobody's business, and
// networks drop what comes from private addresses (RFC 5508, 4.2, REQ-5; so does
// nf_nat_icmp_reply_translation of Linux, net/netfilter/nf_nat_proto.c).
func (w *worker) natError(i int, q *packet.Quote, side packet.Side, addr *packet.Addr, port uint16, next, source uint64) packet.Verdict {
	if v := w.spend(i, next); v != packet.Pending {
		return v
	}
	packet.TranslateError(w.frames[i], &w.packets[i], q, side, addr, port)
	return w.depart(i, next, source)
}

// passOn hands packet i, an error about a request, on to the client of r as it is. A backend
// that has the service's address itself says so itself, and may have the balancer as its
// router.
func (w *worker) passOn(i int, r conntrack.Ref) packet.Verdict {
	f := w.flows.Flow(r)
	next := f.ClientHop()
	if w.origin(i) == next {
		return packet.DropLoop
	}
	v := w.spend(i, next)
	if v == packet.Pending {
		v = w.depart(i, next, 0)
	}
	return w.note(i, r^1, v)
}

// guess hands packet i on, an error to service s about a flow that is not known here, k
// being the key of its requests: to the backend that the consistent hash has for it. Routers
// spread errors over several balancers without regard to the flows that they are about; what
// all of these agree on needs no flow.
func (w *worker) guess(i int, s *balancer.Service, k *packet.Key, q *packet.Quote) packet.Verdict {
	id, ok := s.Consistent(k)
	if !ok {
		return packet.DropICMP
	}
	b := &w.table.Backends[id]
	var v packet.Verdict
	if s.Mode.Traits().Translates {
		port := b.Port
		if port == 0 {
			port = k.DstPort
		}
		v = w.natError(i, q, packet.Destination, &b.Address, port, b.Next, b.Source)
	} else {
		v = w.direct(i, b)
	}
	w.hashes[i] = uint64(id)
	return w.note(i, noFlow, v)
}

// noFlow is the reference of what is forwarded without a flow: for a request, by the backend
// whose ID is in the place of its hash.
const noFlow = ^conntrack.Ref(1)

// spend takes one of packet i's hops, for next; Pending says that it may go there.
func (w *worker) spend(i int, next uint64) packet.Verdict {
	if next == balancer.NoHop || balancer.HopMAC(next) == 0 {
		return packet.DropNoNeighbour
	}
	if _, ok := w.fits(i, next, 0); !ok {
		return packet.DropTooBig
	}
	if !packet.Age(w.frames[i], &w.packets[i]) {
		return packet.DropTTL
	}
	return packet.Pending
}

// depart has packet i leave for next.
func (w *worker) depart(i int, next, source uint64) packet.Verdict {
	if !w.cross(i, next, source) {
		return packet.DropTooBig
	}
	return packet.Forwarded
}

// note counts packet i for the flow of r and for its backend, if it leaves. If not, nobody is
// told: an error is never answered by another one (RFC 1122, 3.2.2).
func (w *worker) note(i int, r conntrack.Ref, v packet.Verdict) packet.Verdict {
	if v != packet.Forwarded {
		return v
	}
	w.refs[i] = r
	n, d, id := len(w.frames[i]), r.Direction()&1, uint32(w.hashes[i])
	if r != noFlow {
		f := w.flows.Flow(r)
		w.flows.Note(r, f, n)
		id = f.BackendID
	}
	c := &w.count.Backends[id]
	c.Packets[d]++
	c.Bytes[d] += uint64(n)
	return v
}
