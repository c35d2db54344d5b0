package xsktest

import "github.com/afxlb/afxlb/xsk"

// Linux is a kernel to play. They differ in what they tell of the packets that they
// take off the TX ring (net/xdp/xsk.c and xsk_queue.h of each).
type Linux uint8

// The kernels.
const (
	// Today is copy mode as of Linux 6.18.44: the TX ring's consumer is stored at the
	// end of each system call, and a call's budget may be all of the ring.
	Today Linux = iota
	// Linux617 is copy mode as of Linux 6.17: it stores the consumer at the end of a
	// call that sent something, and else as those before it.
	Linux617
	// Linux61 is copy mode of the kernels from 5.12 to 6.16: the consumer is stored
	// only when all that was last seen of the ring is used up, a call takes 32 packets,
	// and a full COMPLETION ring is no error.
	Linux61
	// ZeroCopy is a driver that takes packets when its NAPI runs, which is when
	// [Kernel.Transmit] is called: a system call only asks for that. Of a frame it uses
	// whole kilobytes, as igb and others do.
	ZeroCopy
)

// CopyModes are the kernels that send in the system call.
var CopyModes = []Linux{Today, Linux617, Linux61}

// String returns a name for subtests.
func (l Linux) String() string {
	return [...]string{"today", "6.17", "6.1", "zero-copy"}[l]
}

func (l Linux) mode() xsk.Mode {
	if l == ZeroCopy {
		return xsk.ModeZeroCopy
	}
	return xsk.ModeCopy
}

// headroom returns how far into its chunk a packet is, and that in the form of the RX
// ring's addresses: XDP_PACKET_HEADROOM, and in copy mode, where chunks are unaligned,
// what the UMEM adds, in the upper 16 bits.
func (l Linux) headroom() (bytes, place uint64) {
	if l == ZeroCopy {
		return 256, 256
	}
	return 256 + 3*64, (256 + 3*64) << 48
}

// room returns how many bytes of a packet a frame takes: what is left of it, and in zero-copy
// whole kilobytes of that.
func (l Linux) room(frameSize uint32) uint32 {
	n, _ := l.headroom()
	room := frameSize - uint32(n)
	if l == ZeroCopy {
		room = room / 1024 * 1024
	}
	return room
}

// budget returns how many packets a call takes at most: XDP_MAX_TX_SKB_BUDGET where there
// is that, else TX_BATCH_SIZE.
func (l Linux) budget(ringSize uint32) int {
	if l == Linux61 {
		return 32
	}
	return int(ringSize)
}

// storesAfter reports whether the consumer is stored at the end of a call that sent so
// many packets.
func (l Linux) storesAfter(sent uint64) bool {
	switch l {
	case Linux617:
		return sent > 0
	case Linux61:
		return false
	}
	return true
}
