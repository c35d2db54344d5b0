package conntrack

import (
	"encoding/binary"

	"github.com/afxlb/afxlb/engine/snat"
	"github.com/afxlb/afxlb/internal/packet"
)

// Flows with a translated source, as full NAT has them: the backend sees an address of the
// balancer's own and a port that it has lent. So there are four parties. The source takes
// the place of the backend in the record, whose address and port stand in the table of
// backends, under the record's BackendID:
//
//	          source    destination   becomes
//	request   client    vip           source -> backend
//	reply     backend   source        vip -> client
//
// A reply has nothing of the client: it is found by the source's port.

// source is the role in the place of which the source is.
const source = backend

// Masked reports whether the source is translated too.
func (f *Flow) Masked() bool { return f.flags&masked != 0 }

// Routed reports whether replies pass through the balancer on their way to the client's own
// address: whether the flow is one of plain NAT.
func (f *Flow) Routed() bool { return f.flags&(oneWay|masked) == 0 }

// FindReply looks for the masked flow that k may be the key of a reply of. Whoever has it
// asks [Table.MatchesMasked].
func (t *Table) FindReply(k *packet.Key) (Ref, bool) {
	i, ok := t.Ports.Find(k)
	if t.over != nil && ok {
		i, ok = t.own(i)
	}
	return ref(i, Reply), ok
}

// FindScattered looks for the masked one of scattered flows by which k, a request, goes to
// the backend with the ID.
func (t *Table) FindScattered(k *packet.Key, backendID uint32) (Ref, bool) {
	hash := t.HashClient(k, Request)
	if t.over != nil {
		if r, ok := t.over.behind.FindScattered(k, backendID); ok {
			t.adopt(r.index())
		}
	}
	s := t.shard(hash)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.findScattered(t, s.head(hash), k, backendID)
}

func (x *index) findScattered(t *Table, head uint32, k *packet.Key, backendID uint32) (Ref, bool) {
	for i := head; i != none; i = t.details[i].link {
		if f, r := &t.flows[i], ref(i, Request); f.BackendID == backendID && f.Scattered() && f.Masked() && t.key(r) == *k {
			return r, true
		}
	}
	i, ok := x.spill[Reply][scatteredKey(k, backendID)]
	return ref(i, Request), ok
}

// replyEntry returns the key under which record i is in index.spill for its replies. That
// of a masked one, whose replies are not found there, is for who knows its backend.
func (t *Table) replyEntry(i uint32) (packet.Key, bool) {
	f := &t.flows[i]
	switch {
	case f.Routed():
		return t.key(ref(i, Reply)), true
	case f.Masked() && f.Scattered():
		k := t.key(ref(i, Request))
		return scatteredKey(&k, f.BackendID), true
	}
	return packet.Key{}, false
}

// scatteredKey is no packet's: its source is a group.
func scatteredKey(request *packet.Key, backendID uint32) packet.Key {
	k := request.Reverse()
	k.Src = packet.Addr{0: 0xff}
	binary.BigEndian.PutUint32(k.Src[12:], backendID)
	return k
}

// MatchesMasked is [Table.Matches] for a masked flow, whose backend is at an address and
// port; 0: at the one that the client asked for. Nothing branches on the direction: requests
// and replies come in no order that could be predicted.
func (t *Table) MatchesMasked(r Ref, f *Flow, k *packet.Key, backend *packet.Addr, port uint16) bool {
	if port == 0 {
		port = f.port[vip]
	}
	d := r.Direction() & 1
	reply, to := -uint32(d), vip-vip*role(d) // a mask; vip or source
	differ := (k.Src.Low() ^ (f.low[client]&^reply | backend.Low()&reply)) | (k.Dst.Low() ^ f.low[to]) |
		uint32(k.SrcPort^(f.port[client]&^uint16(reply)|port&uint16(reply))) | uint32(k.DstPort^f.port[to]) |
		(k.Proto ^ uint32(f.proto)) | uint32(f.flags>>d&1)
	if differ != 0 {
		return false
	}
	if f.flags&ipv6 == 0 {
		return k.Src.Is4()
	}
	a := &t.addresses[r.index()]
	from := [numDirections]*packet.Addr{&a[client], backend}
	return k.Src == *from[d] && k.Dst == a[to]
}

var _ = [1]struct{}{}[source] // MatchesMasked relies on it

// Ends4 returns the ends that an IPv4 packet in direction d of a masked flow gets, whose
// backend is as in [Table.MatchesMasked].
func (f *Flow) Ends4(d Direction, backend uint32, port uint16) packet.Ends4 {
	if port == 0 {
		port = f.port[vip]
	}
	reply := -uint32(d & 1) // a mask; requests and replies come in no order that could be predicted
	return packet.Ends4{
		Src: f.low[d.becomes()], SrcPort: f.port[d.becomes()],
		Dst: f.low[client]&reply | backend&^reply, DstPort: f.port[client]&uint16(reply) | port&^uint16(reply),
	}
}

// Ends6 is Ends4 for IPv6.
func (t *Table) Ends6(r Ref, f *Flow, backend *packet.Addr, port uint16) packet.Ends6 {
	if port == 0 {
		port = f.port[vip]
	}
	a, d := &t.addresses[r.index()], r.Direction()&1
	to := [numDirections]*packet.Addr{backend, &a[client]}
	reply := -uint16(d) // a mask, as in Ends4
	return packet.Ends6{
		Src: &a[d.becomes()], SrcPort: f.port[d.becomes()],
		Dst: to[d], DstPort: f.port[client]&reply | port&^reply,
	}
}

// A handshake that is under way has an answer within handshake, and a datagram's answer
// comes within [snat.ShortRest]: who begins a flow and says nothing more in so long may lose
// its source to another one, ms.
const handshake = 250

// Idlest returns of some flows the one that was idle for the longest of those that may lose
// their source; false if none may.
func (t *Table) Idlest(flows []uint32, now uint32) (longest uint32, ok bool) {
	var most uint32
	for _, i := range flows {
		if t.over != nil {
			own, copied := t.own(i)
			if i = own; !copied {
				continue
			}
		}
		f := &t.flows[i]
		state := f.state.Load()
		if d := idle(now, f.lastSeen()); state&live != 0 && t.mayLose(i, d) && (!ok || d > most) {
			longest, most, ok = i, d, true
		}
	}
	return longest, ok
}

func (t *Table) mayLose(i, idle uint32) bool {
	f := &t.flows[i]
	enough := uint32(handshake)
	if f.proto != packet.ProtoTCP {
		enough = uint32(snat.ShortRest.Milliseconds())
	}
	return f.Masked() && embryonicKind.has(f.Class()) && idle >= enough
}

// Rob ends the flow of an [Table.Idlest] and returns its source, which the caller has then;
// false if it is not as it was.
func (t *Table) Rob(i, now uint32) (l snat.Lease, ok bool) {
	s := t.home(i)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &t.flows[i]
	if !f.Live() || !t.mayLose(i, idle(now, f.lastSeen())) {
		return l, false
	}
	s.forget(t, i)
	t.stats.evicted[embryonic].Add(1)
	return t.Ports.Lease(t.pools[i], f.port[source]), true
}

// Mixed reports whether client and backend are of two families. The whole addresses of such a
// flow are in Table.addresses, whichever of the two is which.
func (f *Flow) Mixed() bool { return f.flags&mixed != 0 }

// Ends is Ends4 for any masked flow, in the form of a key.
func (t *Table) Ends(r Ref, f *Flow, backend *packet.Addr, port uint16) packet.Key {
	if f.flags&ipv6 == 0 {
		e := f.Ends4(r.Direction(), backend.Low(), port)
		return packet.Key{
			Src: packet.AddrFromLow(e.Src), Dst: packet.AddrFromLow(e.Dst), SrcPort: e.SrcPort, DstPort: e.DstPort, Proto: uint32(f.proto),
		}
	}
	e := t.Ends6(r, f, backend, port)
	return packet.Key{Src: *e.Src, Dst: *e.Dst, SrcPort: e.SrcPort, DstPort: e.DstPort, Proto: uint32(f.proto)}
}

// mask writes what record i has for a translated source.
func (t *Table) mask(i uint32, n *NewFlow, l *snat.Lease) {
	f := &t.flows[i]
	f.flags |= masked
	f.low[source], f.port[source] = l.Source.Low(), l.Port
	if l.Source.Is4() != n.Key.Src.Is4() {
		f.flags |= mixed
	}
	if f.flags&ipv6 != 0 {
		t.addresses[i][source], t.addresses[i][numRoles] = l.Source, n.Backend
	}
	t.pools[i] = l.Pool()
	l.Bind(i)
}

// unmask has the port rest that record i had.
func (t *Table) unmask(i uint32) { t.Ports.Release(t.pools[i], t.flows[i].port[source]) }
