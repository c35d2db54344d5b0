package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

// echo answers an echo request for a service's address, or a fragment of one.
func (w *worker) echo(i int) packet.Verdict {
	p := &w.packets[i]
	if !w.table.HasAddress(&p.Key.Dst) {
		return packet.DropNoService
	}
	if p.Part != packet.Whole {
		return w.answer(i, packet.DropFragment, echoes, packet.EchoPart)
	}
	return w.answer(i, packet.DropICMP, echoes, packet.EchoReply)
}

// refuse handles a packet of a new flow that no backend can have, for the reason v, as the
// service's on-no-backend says.
func (w *worker) refuse(i int, s *balancer.Service, v packet.Verdict) packet.Verdict {
	if s.OnNoBackend == balancer.DropSilently {
		return v
	}
	if w.packets[i].Key.Proto == packet.ProtoTCP {
		return w.answer(i, v, resets, packet.Reset)
	}
	return w.answer(i, v, unreachables, packet.Unreachable)
}

// undelivered handles a packet that could not leave for the reason v: as a router does when
// its hops are used up.
func (w *worker) undelivered(i int, v packet.Verdict) packet.Verdict {
	if v == packet.DropTTL {
		return w.answer(i, v, exceeded, packet.TimeExceeded)
	}
	return v
}

// tooBig handles packet i, which is larger than what its way takes, as a router does: it is
// fragmented if it may be, and else its sender is told.
func (w *worker) tooBig(i, mtu int) packet.Verdict {
	if w.witness != nil {
		w.witness.add(Finding{What: TooLarge, MTU: mtu})
	}
	if packet.Divisible(w.frames[i], &w.packets[i]) {
		return w.cut(i, mtu)
	}
	return w.answer(i, packet.DropTooBig, tooBigs, func(frame []byte, p *packet.Packet) int {
		return packet.TooBig(frame, p, mtu)
	})
}

// answer turns packet i into its answer, in place, which is of a kind that has a budget of
// its own. Where none is due, the packet is dropped as v; and nothing is sent to a group, whose
// machines would have it all.
func (w *worker) answer(i int, v packet.Verdict, kind kind, build func([]byte, *packet.Packet) int) packet.Verdict {
	if !packet.Individual(packet.SourceWord(w.frames[i])) {
		return packet.DropSourceMAC
	}
	w.complete(i) // or it would seem damaged
	n := build(w.frames[i], &w.packets[i])
	if n == 0 {
		return v
	}
	ok := w.budgets[kind].take(w.now)
	if w.witness != nil {
		w.witness.add(Finding{What: Answered, Answer: kind.String(), OK: ok, Verdict: v})
	}
	if !ok {
		return packet.DropReplyLimit
	}
	w.descs[i].Len = uint32(n)
	return packet.Replied
}
