package engine

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/packet"
)

// echo answers an echo request for a service's address.
func (w *worker) echo(i int) packet.Verdict {
	p := &w.packets[i]
	if !w.table.HasAddress(&p.Key.Dst) {
		return packet.DropNoService
	}
	return w.answer(i, packet.DropICMP, packet.EchoReply)
}

// refuse handles a packet of a new flow when no backend is in rotation, as the
// service's on-no-backend says.
func (w *worker) refuse(i int, s *balancer.Service) packet.Verdict {
	if s.OnNoBackend == balancer.DropSilently {
		return packet.DropNoBackend
	}
	if w.packets[i].Key.Proto == packet.ProtoTCP {
		return w.reset(i, packet.DropNoBackend)
	}
	return w.answer(i, packet.DropNoBackend, packet.Unreachable)
}

// reset answers a TCP segment with the RST that ends its connection; anything
// else is dropped as v.
func (w *worker) reset(i int, v packet.Verdict) packet.Verdict {
	if w.packets[i].Key.Proto != packet.ProtoTCP {
		return v
	}
	return w.answer(i, v, packet.Reset)
}

// answer turns packet i into its answer, in place. Where none is due, the packet
// is dropped as v.
func (w *worker) answer(i int, v packet.Verdict, build func([]byte, *packet.Packet) int) packet.Verdict {
	n := build(w.frames[i], &w.packets[i])
	if n == 0 {
		return v
	}
	if !w.limit.take(w.now) {
		return packet.DropReplyLimit
	}
	w.descs[i].Len = uint32(n)
	return packet.Replied
}

// answersPerSecond bounds what one worker answers on its own, so that a flood
// with false sources is not reflected at full rate. The burst is a second's
// worth.
const answersPerSecond = 1000

// rateLimit is a token bucket over the worker's coarse clock.
type rateLimit struct {
	tokens uint32 // thousandths
	at     uint32 // ms
	primed bool
}

func (l *rateLimit) take(now uint32) bool {
	const full = answersPerSecond * 1000
	if !l.primed {
		l.tokens, l.at, l.primed = full, now, true
	}
	// One token per ms at 1000/s: elapsed ms × rate is in thousandths already.
	if elapsed := now - l.at; elapsed > 0 {
		l.tokens = min(full, l.tokens+min(elapsed, 1000)*answersPerSecond)
		l.at = now
	}
	if l.tokens < 1000 {
		return false
	}
	l.tokens -= 1000
	return true
}
