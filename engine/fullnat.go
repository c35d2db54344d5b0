package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/engine/snat"
	"github.com/afxlb/afxlb/internal/packet"
)

// Full NAT: towards the backend the balancer speaks from an address of its own. The ports
// there are lent by package snat; what a flow's record has of it is in conntrack/source.go.

// fullnat routes packet i on: a request to its backend from the flow's source, a reply to
// the client from the service's address. Like nat it costs one hop, and is no part of deliver.
//
//go:noinline
func (w *worker) fullnat(i int, r conntrack.Ref, f *conntrack.Flow, b *balancer.Backend) packet.Verdict {
	p, frame, d := &w.packets[i], w.frames[i], r.Direction()
	request := uint64(d) - 1 // a mask: all ones for a request
	from, client := packet.SourceWord(frame)|w.in, f.ClientHop()
	if p.Tagged() { // as origin, which the compiler does not inline
		from = w.tagged(i)
	}
	next := b.Next&request | client&^request
	if f.Mixed() {
		v := w.xlat(i, r, f, b, next, b.Source&request)
		if v == packet.Forwarded && (from^client)&request != 0 {
			w.moved(i, f, from)
		}
		return v
	}
	stays := w.stays(i, next)
	if !stays {
		if next == balancer.NoHop {
			return packet.DropNoNeighbour
		}
		if mtu, ok := w.fits(i, next, 0); !ok {
			return w.tooBig(i, mtu)
		}
	}
	if !p.IPv6 && !packet.Replace4(frame, p, f.Ends4(d, b.Address.Low(), b.Port)) ||
		p.IPv6 && !packet.Replace6(frame, p, w.flows.Ends6(r, f, &b.Address, b.Port)) {
		return packet.DropTTL
	}
	if stays {
		packet.SetMACs(frame, balancer.HopMAC(next), b.Source&request|w.source&^request)
	} else if !w.cross(i, next, b.Source&request) {
		return packet.DropTooBig
	}
	if (from^client)&request != 0 {
		w.moved(i, f, from)
	}
	return packet.Forwarded
}

// fullnatError is fullnat for packet i, an ICMP error about a packet that goes the opposite
// way of what r stands for: both ends of the error are those that the packets have which go
// its way, and what it quotes is what these are answered by. So a backend hears of a client's
// router from the flow's source: it may have no way to that, and take nothing from there.
func (w *worker) fullnatError(i int, r conntrack.Ref, f *conntrack.Flow, b *balancer.Backend, q *packet.Quote, next, source uint64) packet.Verdict {
	if v := w.spend(i, next); v != packet.Pending {
		return v
	}
	p, frame, ends := &w.packets[i], w.frames[i], w.flows.Ends(r, f, &b.Address, b.Port)
	packet.TranslateError(frame, p, q, packet.Source, &ends.Src, ends.SrcPort)
	packet.TranslateError(frame, p, q, packet.Destination, &ends.Dst, ends.DstPort)
	return w.depart(i, next, source)
}

// masked reports whether k is the key of what r hints at, the live flow f with a translated
// source: a record does not have its backend's address.
func (w *worker) masked(k *packet.Key, r conntrack.Ref, f *conntrack.Flow) bool {
	b := w.backend(f.BackendID)
	return w.flows.MatchesMasked(r, f, k, &b.Address, b.Port)
}

// answered looks for the flow that k may be the key of a reply of by its destination, a
// source of full NAT.
func (w *worker) answered(k *packet.Key) (conntrack.Ref, bool) {
	r, ok := w.flows.FindReply(k)
	if !ok {
		return 0, false
	}
	f := w.flows.Flow(r)
	return r, f.Live() && f.Masked() && w.masked(k, r, f)
}

// lend lends a source for packet i, which a flow of s to backend id begins with. The caller
// has it remembered or cancels it.
func (w *worker) lend(i int, s *balancer.Service, id uint32) (snat.Lease, bool) {
	k, b := &w.packets[i].Key, &w.table.Backends[id]
	for int(id) >= len(w.sources) {
		w.sources = append(w.sources, nil)
	}
	g := w.sources[id]
	if g == nil {
		remote := snat.Key{Remote: b.Address, Port: b.Port, Proto: uint16(s.Protocol)}
		g = w.flows.Ports.Group(remote, s.SnatAddresses, snat.NewPorts(snat.Range(s.SnatPorts), snat.Range(w.table.Ephemeral)))
		w.sources[id] = g
	}
	port := b.Port
	if port == 0 {
		port = k.DstPort
	}
	hash := k.Hash(sourceSeed)
	l, ok := g.Take(hash, port)
	robbed := !ok
	if robbed {
		l, ok = w.rob(g, hash, port)
	}
	if w.witness != nil {
		w.witness.add(Finding{What: SourceLent, Backend: id, Source: l.Source, Port: l.Port, OK: ok, Robbed: robbed})
	}
	return l, ok
}

// rob takes a source from one of those flows that have begun and came no farther, so that a
// flood of SYNs, which takes all ports, keeps nobody out: as in the flow table, who comes
// last has the place of who was silent for longest, of a few.
func (w *worker) rob(g *snat.Group, hash uint64, remote uint16) (l snat.Lease, ok bool) {
	var sample [16]uint32
	n := g.Sample(hash+uint64(w.now), remote, sample[:])
	victim, ok := w.flows.Idlest(sample[:n], w.now)
	if !ok {
		return l, false
	}
	return w.flows.Rob(victim, w.now)
}

// sourceSeed has no meaning; but the balancer that comes after this one must have the same,
// so that it lends most flows the ports that they had.
const sourceSeed = 0x736e6174706f7274
