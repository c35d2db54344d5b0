package xsk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Info is what was opened and what the kernel granted.
type Info struct {
	Interface string
	Index     int // of the interface
	Queue     int
	Driver    Driver

	Mode    Mode   // ModeZeroCopy or ModeCopy, as the kernel says
	WhyCopy string // in mode auto: why it is not zero-copy

	Frames, FrameSize, RingSize uint32

	// MaxPacket is the longest packet that can be received, in bytes; in zero-copy, that
	// each driver can receive.
	MaxPacket int
	// MultiBuffer: a packet may have several frames, as one of the interface's MTU has.
	MultiBuffer bool

	// Detour: the interface has no TX queue of this number, and packets leave by whichever
	// it has, through a packet socket.
	Detour bool

	Shared bool // the UMEM is one that another socket came with

	NeedWakeup bool // the kernel says when it wants a system call
	TxBudget   int  // packets a sendto sends at most in copy mode
	SendBuffer int  // bytes that may be under way in copy mode (SO_SNDBUF)
}

// MaxMTU is the largest MTU of which all packets can be received, with two VLAN tags.
func (i *Info) MaxMTU() int { return i.MaxPacket - linkHeader }

// txLimit returns how many descriptors to show the kernel at a time; see txRing. A
// driver in zero-copy does not lag.
func (i *Info) txLimit() uint32 {
	if i.Mode == ModeZeroCopy {
		return i.RingSize
	}
	return uint32(i.TxBudget)
}

const (
	// defaultTxBudget is TX_BATCH_SIZE of net/xdp/xsk.c.
	defaultTxBudget = 32
	// wantedTxBudget is where larger stopped paying off: against 32, 15 to 25 % more
	// packets a second on veth.
	wantedTxBudget = 512
)

// tune sets what makes copy mode faster, where the kernel has it, and reads back what
// was granted.
func (i *Info) tune(fd int) error {
	zc, err := isZeroCopy(fd)
	if err != nil {
		return fmt.Errorf("read XDP_OPTIONS: %w", err)
	}
	i.Mode = ModeCopy
	if zc {
		i.Mode, i.WhyCopy = ModeZeroCopy, ""
	}
	i.NeedWakeup = true // a kernel without refuses the bind

	// Since Linux 6.17 (commit 45e359be1ce8). Elsewhere ENOPROTOOPT, and a Flush takes
	// more calls. Rings smaller than the default may not be named.
	i.TxBudget = defaultTxBudget
	budget := min(wantedTxBudget, int(i.RingSize))
	if unix.SetsockoptInt(fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, budget) == nil {
		i.TxBudget = budget
	}

	// Copies count against the send buffer until the receiver has consumed them; the
	// default holds under a hundred. All frames can be under way, but no more.
	setSendBuffer(fd, int(i.Frames)*int(i.FrameSize))
	i.SendBuffer, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
	if err != nil {
		return fmt.Errorf("read SO_SNDBUF: %w", err)
	}
	return nil
}

// setSendBuffer asks for room for so many bytes that are under way; without the privilege
// it is up to net.core.wmem_max.
func setSendBuffer(fd, bytes int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, bytes) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, bytes)
	}
}
