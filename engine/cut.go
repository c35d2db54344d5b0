package engine

import "github.com/afxlb/afxlb/internal/packet"

// cut has packet i, which is larger than the mtu of its way and may be fragmented, come once
// more in fragments that go (RFC 791, 2.3). They are cut from the packet as it came, so that
// they are any fragments from then on, in whatever mode. It is dropped if there is no room,
// and if it is as small as pieces can be: such a way takes none, and it would come for ever.
func (w *worker) cut(i, mtu int) packet.Verdict {
	p, frame, ready := &w.packets[i], w.frames[i], &w.parts.Ready
	if w.complete(i); packet.PieceLen(p, mtu, 1) == 0 || packet.PiecesLen(p, mtu) > ready.Room() {
		return packet.DropTooBig
	}
	for k := 0; ; k++ {
		n := packet.PieceLen(p, mtu, k)
		if n == 0 {
			return w.hold(i)
		}
		packet.Piece(ready.Push(n, w.port), frame, p, mtu, k)
	}
}
