package engine

import (
	"slices"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/packet"
)

// The slow path: everything that happens once per flow, or to packets without
// one. It may take shards' locks, and make the maps of a client with very many flows
// larger; it still does not log.

// warm prepares the slow path for those packets of a group that the cache does not know.
// What they wait for is the index, which takes longer than all the rest: here the waits
// overlap.
func (w *worker) warm(from, to int) {
	var clients [group]uint64
	n := 0
	for i := from; i < to; i++ {
		p, r, d := &w.packets[i], w.refs[i], conntrack.Request
		if f := w.flows.Flow(r); w.verdicts[i] != packet.Pending || p.Echo || f.Live() && w.flows.Matches(r, f, &p.Key) {
			continue
		}
		if !p.Opens() && w.table.Lookup(&p.Key) == nil {
			d = conntrack.Reply
		}
		clients[n] = w.flows.HashClient(&p.Key, d)
		n++
	}
	if n > 1 {
		w.flows.Warm(clients[:n])
	}
}

// slow handles packet i, whose flow the worker's cache does not know: another
// worker may know it, or it is new.
func (w *worker) slow(i int) packet.Verdict {
	p := &w.packets[i]
	w.count.Misses++
	if p.Echo {
		return w.echo(i)
	}
	s := w.table.Lookup(&p.Key)
	if r, ok := w.known(&p.Key, s); ok {
		w.learn(i, r)
		return w.forward(i, r, w.flows.Flow(r))
	}
	return w.assign(i, s)
}

// learn notes that packet i is of what r stands for. The next request of a scattered flow
// is of another one.
func (w *worker) learn(i int, r conntrack.Ref) {
	w.refs[i] = r
	if r.Direction() == conntrack.Reply || !w.flows.Flow(r).Scattered() {
		w.cache.Put(w.hashes[i], r)
	}
}

// known looks for the flow of k, which is for service s if there is one.
func (w *worker) known(k *packet.Key, s *balancer.Service) (conntrack.Ref, bool) {
	r, ok := w.seek(k, s)
	if w.witness != nil {
		w.witness.flow(w, s, r, ok)
	}
	return r, ok
}

// seek is known, and tells nobody. It looks first
// in the direction that this tells, and then in the other: the service of a flow may have
// been removed, and a client may have the address and port of a service. It does not look
// for replies from others than backends: in a flood, each look costs a wait for memory, or
// all workers the same lock.
func (w *worker) seek(k *packet.Key, s *balancer.Service) (conntrack.Ref, bool) {
	d := conntrack.Request
	if s == nil {
		d = conntrack.Reply
	}
	r, ok := w.flows.Find(k, d)
	if !ok && (s == nil || w.table.HasBackend(&k.Src)) {
		r, ok = w.flows.Find(k, d^1)
	}
	if !ok && s == nil && w.table.HasBackend(&k.Src) {
		return w.answered(k)
	}
	return r, ok
}

// assign picks a backend of s, if there is one, for packet i and remembers the choice, if
// the packet can leave.
func (w *worker) assign(i int, s *balancer.Service) packet.Verdict {
	p := &w.packets[i]
	if s == nil {
		return w.stray(i)
	}
	if p.Key.Src == p.Key.Dst || w.table.SpeaksFrom(&p.Key.Src) {
		return packet.DropMartian // its own client; or it would have the answers to the flow that speaks from there
	}
	opens := p.Key.Proto != packet.ProtoTCP || p.Opens()
	if !opens && p.TCPFlags&(packet.TCPSyn|packet.TCPRst) != 0 {
		return packet.DropNoFlow // a RST or SYN-ACK of nothing we know has no use for a backend
	}
	if w.table.FromBackend(s, w.origin(i)) {
		return packet.DropLoop
	}
	first, seated, ok := w.choose(s, &p.Key, opens)
	switch {
	case !ok && s.Warming:
		return packet.DropWarming
	case !ok && len(s.Eligible()) > 0:
		return w.full(i, s)
	case !ok:
		return w.refuse(i, s, packet.DropNoBackend)
	}
	// A taken reply tuple is rare: one client port used for two services that
	// share a backend. Another backend settles it, as it does when the first one would have
	// its own packet back. In mid-stream the first choice may be none of those in rotation.
	id, why := first, packet.DropLoop
	for range maxTries {
		v := w.barred(i, &w.table.Backends[id])
		if w.witness != nil {
			w.witness.add(Finding{What: WayFound, Backend: id, Verdict: v})
		}
		switch {
		case v == packet.Pending && opens && id != first && w.picker.Full(w.table, id):
			why = packet.DropBackendFull
		case v == packet.Pending:
			if scatters(s) && !s.Mode.Traits().RepliesReturn {
				return w.toss(i, id)
			}
			r, outcome := w.remember(i, s, id)
			if w.witness != nil {
				w.witness.add(Finding{What: Remembered, Backend: id, Outcome: outcome})
			}
			switch outcome {
			case conntrack.Inserted:
				w.count.Backends[id].Flows++
				if s.Persists() {
					home := id
					if seated { // one flow that can't be there moves nobody
						home = first
					}
					w.clients.begin(s, &p.Key.Src, &w.table.Backends[home], w.now)
				}
				w.learn(i, r)
				return w.deliver(i, r, w.flows.Flow(r), &w.table.Backends[id])
			case conntrack.Exists:
				return w.join(i, r)
			case conntrack.Full:
				return packet.DropTableFull
			case conntrack.NoSource:
				why = packet.DropNoSource
			case conntrack.Clash:
				why = packet.DropTupleClash
			}
		case v != packet.DropLoop:
			return w.undelivered(i, v)
		}
		if id = after(s.Eligible(), id); id == first {
			break
		}
	}
	switch why {
	case packet.DropBackendFull:
		return w.full(i, s)
	case packet.DropTupleClash:
		return w.refuse(i, s, why)
	}
	return why
}

// join handles packet i of a flow that another worker has made in the same moment, perhaps
// by a newer table than this batch's.
func (w *worker) join(i int, r conntrack.Ref) packet.Verdict {
	w.learn(i, r)
	w.renew()
	f := w.flows.Flow(r)
	return w.deliver(i, r, f, w.backend(f.BackendID))
}

// maxTries bounds how many backends are tried for one flow.
const maxTries = 4

// after returns the ID that follows id in the rotation: the first if id is not in it, and
// id if nobody is.
func after(eligible []uint32, id uint32) uint32 {
	if len(eligible) == 0 {
		return id
	}
	return eligible[(slices.Index(eligible, id)+1)%len(eligible)]
}

// choose picks by the service's algorithm, unless the client has its seat. A TCP packet in
// mid-stream, after a restart or when a router moves traffic here, goes by the consistent
// hash instead, so that every instance picks the same backend.
func (w *worker) choose(s *balancer.Service, k *packet.Key, opens bool) (id uint32, seated, ok bool) {
	if s.Persists() {
		id, ok = w.clients.seat(s, &k.Src, w.now)
		full := ok && opens && w.picker.Full(w.table, id)
		if w.witness != nil {
			w.witness.add(Finding{What: SeatSought, Service: s, Backend: id, OK: ok, Full: full})
		}
		// Who finds its backend full stays with the one that it gets instead.
		if ok && !full {
			return id, true, true
		}
	}
	if w.witness != nil {
		w.witness.add(Finding{What: Picked, Service: s, Basis: w.picker.Basis(s, k, !opens)})
	}
	if opens {
		id, ok = w.picker.Pick(s, k)
	} else {
		id, ok = s.Consistent(k)
	}
	if w.witness != nil {
		w.witness.picked(id, ok)
	}
	return id, false, ok
}

func (w *worker) remember(i int, s *balancer.Service, id uint32) (conntrack.Ref, conntrack.Outcome) {
	p, b := &w.packets[i], &w.table.Backends[id]
	if scatters(s) {
		if r, ok := w.scattered(p, b, id); ok {
			return r, conntrack.Exists
		}
	}
	n := conntrack.NewFlow{
		Key: &p.Key, Backend: b.Address, BackendPort: b.Port, BackendID: id,
		Paired: s.Mode.Traits().RepliesReturn, FromService: w.table.HasAddress(&p.Key.Src), Observed: s.Persists(), Scattered: scatters(s),
		Opened: p.Key.Proto == packet.ProtoTCP && p.Opens(),
	}
	if n.BackendPort == 0 {
		n.BackendPort = p.Key.DstPort
	}
	if !s.Mode.Traits().TranslatesSource {
		return w.flows.Insert(&n, w.now)
	}
	l, ok := w.lend(i, s, id)
	if !ok {
		return 0, conntrack.NoSource
	}
	n.Source = &l
	r, outcome := w.flows.Insert(&n, w.now)
	if outcome != conntrack.Inserted {
		l.Cancel()
	}
	return r, outcome
}
