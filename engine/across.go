package engine

import (
	"errors"
	"math/bits"

	"github.com/afxlb/afxlb/internal/packet"
	"github.com/afxlb/afxlb/xsk"
)

// across is what a batch needs of which some packets leave by another port than they came
// by.
type across struct {
	some   bool             // there are such packets
	egress [batchSize]uint8 // by which port packet i leaves, from 1; 0: by that which it came by
	lane   [batchSize]uint8 // the packets that leave by the port that is worked on
	copies [batchSize]xsk.Desc
}

// leaveBy has packet i leave by the port.
func (a *across) leaveBy(i int, port uint8) {
	a.some, a.egress[i] = true, port+1
}

// sendAcross is send for a batch of which some packets leave by another port.
func (w *worker) sendAcross(n int) error {
	a, drop, ports := &w.across, 0, uint8(0) // of the ports a bit each
	for i, v := range w.verdicts[:n] {
		w.count.Verdicts[v]++
		switch {
		case !v.Leaves():
			w.drop[drop] = w.descs[i]
			drop++
			a.egress[i] = 0
			continue
		case a.egress[i] == 0:
			a.egress[i] = w.port + 1
		}
		ports |= 1 << (a.egress[i] - 1)
	}
	w.socket.Release(w.drop[:drop])
	var first error
	for ; ports != 0; ports &= ports - 1 {
		port, lane := uint8(bits.TrailingZeros8(ports)), 0
		for i, by := range a.egress[:n] {
			if by == port+1 {
				a.lane[lane] = uint8(i)
				lane++
			}
		}
		if err := w.sendBy(port, a.lane[:lane]); err != nil && (first == nil || errors.Is(err, xsk.ErrGone)) {
			first = err
		}
	}
	a.some = false
	clear(a.egress[:n])
	return first
}

// sendBy sends the packets of a lane by the port. What does not leave is counted as in send.
func (w *worker) sendBy(port uint8, lane []uint8) error {
	s := w.arms.sockets[port]
	if s == nil || s.Closed() { // it is away
		for _, i := range lane {
			w.socket.Release(w.descs[i : i+1])
			w.unsent(int(i), packet.DropLinkDown)
		}
		return nil
	}
	w.owed |= 1 << port
	out := w.across.copies[:len(lane)]
	for k, i := range lane {
		out[k] = w.descs[i]
	}
	if s.UMEM() != w.socket.UMEM() {
		lane, out = w.copyTo(s, port, lane, out)
	}
	sent := s.Transmit(out)
	err := s.Flush()
	full := packet.DropTxFull
	if sent < len(out) {
		s.Recycle()
		sent += s.Transmit(out[sent:])
		err = s.Flush()
		s.Release(out[sent:])
		if err != nil {
			full = packet.DropLinkDown
		}
	}
	for _, i := range lane[sent:] {
		w.unsent(int(i), full)
	}
	w.count.Ports[port].Sent += uint64(sent)
	return err
}

// copyTo copies the packets of a lane, which are in frames that the socket of the port can't
// send from, into such that it can, and gives their own back. What finds no frame, or does
// not fit into one, is dropped; it returns the rest.
func (w *worker) copyTo(s *xsk.Socket, port uint8, lane []uint8, out []xsk.Desc) ([]uint8, []xsk.Desc) {
	var room [batchSize]xsk.Desc
	s.Recycle()
	have := s.Allocate(room[:len(lane)])
	from, to, kept := w.socket.UMEM(), s.UMEM(), 0
	for k, i := range lane {
		packetOf := from.Frame(out[k])
		switch {
		case kept == have:
			w.unsent(int(i), packet.DropTxFull)
			continue
		case len(packetOf) > int(room[kept].Len) && !lengthen(s, &room[kept]):
			w.unsent(int(i), packet.DropTooBig)
			continue
		}
		room[kept].Len = uint32(copy(to.Frame(room[kept]), packetOf))
		lane[kept] = i
		kept++
	}
	s.Release(room[kept:have])
	w.socket.Release(out)
	w.count.Ports[port].Copied += uint64(kept)
	return lane[:kept], out[:copy(out, room[:kept])]
}

// collect takes back what was sent by other ports, whose own packets may be rare.
func (w *worker) collect() {
	for port := range uint8(maxPorts) {
		if w.owed>>port&1 == 0 {
			continue
		}
		if s := w.arms.sockets[port]; s != nil && s != w.socket {
			s.Recycle()
		}
	}
	w.owed = 0
}
