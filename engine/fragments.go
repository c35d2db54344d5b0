package engine

import (
	"cmp"
	"slices"

	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/engine/fragment"
	"github.com/afxlb/afxlb/internal/packet"
)

// Only the first fragment of a packet has the transport's header. So it goes as a whole packet
// does, in whatever mode, and the others follow it, whichever worker has them. One
// that comes before the first is held, and received once more when that has gone.

// fragment handles packet i, a fragment.
func (w *worker) fragment(i int) packet.Verdict {
	p := &w.packets[i]
	if !w.table.HasAddress(&p.Key.Dst) && !w.table.HasBackend(&p.Key.Src) {
		return packet.DropFragment // nothing is remembered of what is nobody's
	}
	at, v := p.Place(w.frames[i])
	if v != packet.Pending {
		return v
	}
	d := fragment.Datagram{Src: p.Key.Src, Dst: p.Key.Dst, ID: at.ID, Proto: uint32(at.Proto)}
	if p.Part == packet.First {
		v = w.first(i, &d, at)
	} else {
		v = w.later(i, &d, at)
	}
	w.evict()
	return v
}

// first handles packet i, the first fragment of d. The others are let go when it has gone:
// before that there is nothing to follow.
func (w *worker) first(i int, d *fragment.Datagram, at packet.Place) packet.Verdict {
	p := &w.packets[i]
	h := fragment.Head{SrcPort: p.Key.SrcPort, DstPort: p.Key.DstPort, Proto: uint8(p.Key.Proto), Echo: p.Echo}
	if o := w.fragments.Begin(d, at, h, w.now, &w.parts); o != fragment.Goes {
		return w.refused(o)
	}
	way := fragment.Way{Verdict: packet.DropICMP}
	if p.Echo || !isICMP(h.Proto) {
		way.Verdict = w.slow(i)
	}
	switch way.Verdict {
	case packet.Pending: // it was cut
		w.fragments.Undo(d, at, w.now, &w.parts)
		return packet.Pending
	case packet.Forwarded:
		way.Flow, way.Backend = w.refs[i], uint32(w.hashes[i])
		if way.Flow != noFlow && w.flows.Flow(way.Flow).Paired() {
			way.ID, way.Renamed = w.fragments.NewID(), true
			packet.SetID(w.frames[i], p, way.ID)
		}
	}
	w.fragments.Open(d, way, w.now, &w.parts)
	return way.Verdict
}

// later handles packet i, another fragment of d.
func (w *worker) later(i int, d *fragment.Datagram, at packet.Place) packet.Verdict {
	h, way, o := w.fragments.Follow(d, at, w.frames[i], w.port, w.now, &w.parts)
	switch o {
	case fragment.Goes, fragment.Completes:
	case fragment.Held:
		return w.hold(i)
	default:
		return w.refused(o)
	}
	v := w.after(i, &h, &way)
	switch {
	case v == packet.Pending: // it was cut
		w.fragments.Undo(d, at, w.now, &w.parts)
	case o == fragment.Completes:
		w.fragments.Done(d, w.now, &w.parts)
	}
	return v
}

// after handles packet i, which comes after the first fragment of its packet.
func (w *worker) after(i int, h *fragment.Head, way *fragment.Way) packet.Verdict {
	p := &w.packets[i]
	p.Key.SrcPort, p.Key.DstPort, p.Key.Proto, p.Echo = h.SrcPort, h.DstPort, uint32(h.Proto), h.Echo
	w.hashes[i] = w.flows.Hash(&p.Key)
	switch {
	case h.Echo:
		return w.echo(i)
	case way.Verdict == packet.Forwarded:
		return w.follow(i, way)
	case way.Verdict == packet.Punted:
		return w.stray(i)
	case way.Verdict == packet.Replied:
		return packet.DropFragment
	}
	return way.Verdict
}

// follow has packet i go where the first fragment of its packet went, if there is still a
// flow.
func (w *worker) follow(i int, way *fragment.Way) packet.Verdict {
	p, r := &w.packets[i], way.Flow
	if r == noFlow {
		w.backend(way.Backend) // which may be new
		return w.toss(i, way.Backend)
	}
	if !w.still(r, &p.Key) {
		var ok bool
		if r, ok = w.known(&p.Key, w.table.Lookup(&p.Key)); !ok {
			return packet.DropFragment
		}
	}
	f := w.flows.Flow(r)
	w.refs[i] = r
	p.Key.Proto = 0 // there is no header of it to be rewritten
	v := w.deliver(i, r, f, w.backend(f.BackendID))
	if v == packet.Forwarded && way.Renamed {
		packet.SetID(w.frames[i], p, way.ID)
	}
	return v
}

// still reports whether r stands for packets with the key k, in whatever mode; a request
// need not be such as finds the flow.
func (w *worker) still(r conntrack.Ref, k *packet.Key) bool {
	f := w.flows.Flow(r)
	return f.Live() && (w.flows.Matches(r, f, k) || f.Masked() && w.masked(k, r, f) || r.Direction() == conntrack.Request && w.flows.RequestKey(r) == *k)
}

func isICMP(proto uint8) bool { return proto == packet.ProtoICMP || proto == packet.ProtoICMPv6 }

// refused says why a fragment goes nowhere.
func (w *worker) refused(o fragment.Outcome) packet.Verdict {
	if o == fragment.Overflows {
		return packet.DropOverflow
	}
	return packet.DropOverlap
}

// hold has packet i be under way still: of the copy it will be said what became of it, when
// it is received once more. Until then it is not counted.
func (w *worker) hold(i int) packet.Verdict {
	w.count.Received--
	w.count.ReceivedBytes -= uint64(len(w.frames[i]))
	w.count.Verdicts[packet.Pending]-- // send will count it as what it is
	return packet.Pending
}

// recall begins a batch with fragments whose first one has gone by, as far as the frames go,
// and returns how many. They have waited, and in a busy port's batches nothing would be left
// for them; but more than half of one is not theirs, or a flood of them were all that goes.
func (w *worker) recall() (n int) {
	ready := &w.parts.Ready
	end := w.socket.Allocate(w.descs[:min(ready.Len(), batchSize/2)])
	for ; n < end && ready.Port() == w.port; n++ {
		d, next := &w.descs[n], ready.Next()
		if len(next) > int(d.Len) {
			lengthen(w.socket, d) // or it is cut short, and malformed: the MTU is a smaller one now
		}
		d.Len = uint32(copy(w.socket.UMEM().Frame(*d), next))
	}
	w.socket.Release(w.descs[n:end])
	return n
}

// forsake drops fragments that can't be received once more, since their port is away: others
// wait behind them.
func (w *worker) forsake() {
	ready := &w.parts.Ready
	for ready.Len() != 0 && !slices.Contains(w.arms.receives, ready.Port()) {
		w.settle(packet.DropLinkDown, 1, uint64(len(ready.Next())))
	}
}

// expire ends the time of fragments whose first one did not come here. That of a backend
// may have been the kernel's from the start.
func (w *worker) expire() {
	w.forsake()
	overdue := &w.parts.Overdue
	if w.fragments.Held() == 0 && overdue.Len() == 0 {
		return
	}
	w.now = w.clock.Now()
	w.fragments.Expire(w.now, &w.parts)
	device := w.device
	for overdue.Len() > 0 {
		w.device = cmp.Or(w.arms.devices[overdue.Port()], &nowhere)
		w.frames[0] = overdue.Next() // there is no batch now
		packet.Parse(w.frames[0], &w.packets[0])
		w.settle(w.orphan(0), 1, uint64(len(w.frames[0])))
	}
	w.device = device
	w.evict()
}

// orphan handles packet i, a fragment whose first one did not come.
func (w *worker) orphan(i int) packet.Verdict {
	k := &w.packets[i].Key
	if !w.table.HasAddress(&k.Dst) && w.table.HasBackend(&k.Src) {
		if v := w.punt(i); v != packet.DropNoFlow {
			return v
		}
	}
	return packet.DropOrphan
}

// evict counts the fragments that were held and had to go for others.
func (w *worker) evict() {
	e := &w.parts.Evicted
	w.settle(packet.DropOverflow, e.Frames, e.Bytes)
	*e = fragment.Tally{}
}

// settle counts n packets that were held, and of which it is known now what became of them.
func (w *worker) settle(v packet.Verdict, n, bytes uint64) {
	w.count.Received += n
	w.count.ReceivedBytes += bytes
	w.count.Verdicts[v] += n
}
