package engine

import (
	"sync"

	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/nic"
	"github.com/afxlb/afxlb/xsk"
)

// Packets that fit into no frame come in several (jumbo frames; xsk/long.go), where kernel and
// driver have that. Only an interface whose MTU wants it is set up so, for drivers may have a
// slower way to receive then.

// multiBuffer: whether the kernel has it does not change.
var multiBuffer = sync.OnceValue(xsk.MultiBuffer)

// MaxMTU returns the largest MTU that an interface can have to be served without loss, with
// the program attached as it is; empty: not yet.
func (c *Config) MaxMTU(now *nic.State, attached bpf.AttachMode) int {
	if !c.mayJoin(now, attached) {
		return xsk.MaxMTU(c.Mode, c.FrameSize)
	}
	return xsk.LongMTU
}

// mayJoin reports whether packets in several frames can be had on an interface. If its driver
// has none, generic XDP is left, for which the kernel puts packets together (before Linux
// 6.9) or hands them over in pieces itself (netif_receive_generic_xdp of net/core/dev.c).
func (c *Config) mayJoin(now *nic.State, attached bpf.AttachMode) bool {
	switch {
	case c.Driver == xsk.DriverAsavie || !multiBuffer():
		return false
	case now.NoFrags && (attached == bpf.Native || c.Mode == xsk.ModeCopy || c.Mode == xsk.ModeZeroCopy):
		return false
	case c.Mode == xsk.ModeZeroCopy:
		return now.ZeroCopyFrames*xsk.MaxMTU(c.Mode, c.FrameSize) >= xsk.LongMTU
	}
	return true
}

// Joins reports whether an interface is to be served with packets in several frames: with what
// zero-copy takes of a frame, if it may come to that.
func (c *Config) Joins(now *nic.State, attached bpf.AttachMode) bool {
	mode := c.Mode
	if mode == xsk.ModeAuto && !now.NoZeroCopy {
		mode = xsk.ModeZeroCopy
	}
	return now.MTU > xsk.MaxMTU(mode, c.FrameSize) && c.mayJoin(now, attached)
}

// lengthen gives room for a packet that fits into no frame in place of an allocated frame. It
// returns false where the socket has none.
func lengthen(s *xsk.Socket, room *xsk.Desc) bool {
	long, ok := s.AllocateLong()
	if ok {
		s.Release([]xsk.Desc{*room})
		*room = long
	}
	return ok
}
