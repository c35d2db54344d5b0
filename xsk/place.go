package xsk

import (
	"cmp"
	"fmt"
)

const (
	// headroom is what the kernel leaves free in front of each received packet
	// (XDP_PACKET_HEADROOM; include/uapi/linux/bpf.h). It is the caller's to use.
	headroom = 256

	// packetSpread is by how much the places of received packets in their frames
	// differ in copy mode. At one and the same place, powers of two apart, the
	// packets' first lines would compete for 1/32 of each cache; in four places, a
	// line apart, they have 1/8.
	//
	// It takes a UMEM of unaligned chunks (Documentation/networking/af_xdp.rst), whose
	// FILL ring takes any address, with packetSpread as the UMEM's own headroom, to end
	// the longest packet within its frame. In copy mode that has a second effect: the
	// kernel's descriptions of frames (struct xdp_buff_xsk) are then taken last in
	// first out, and stay in the cache, where else each frame has its own (__xp_alloc
	// of net/xdp/xsk_buff_pool.c). Zero-copy keeps to aligned chunks: drivers map
	// unaligned ones packet by packet.
	packetSpread = 3 * 64
)

// bufferUnit is the unit of receive buffers in the registers of igb, igc and the 82599
// of ixgbe (E1000_SRRCTL_BSIZEPKT_SHIFT, IXGBE_SRRCTL_BSIZEPKT_SHIFT of their drivers in
// drivers/net/ethernet/intel): in zero-copy they round what is left of a frame down to
// it. A packet that is longer comes in pieces that look like packets (igb and igc, which
// have no check for the end of a packet there), or not at all.
const bufferUnit = 1024

// maxPacket is the longest packet that is sure to fit into a frame.
func maxPacket(frameSize uint32, spread uint64, mode Mode) int {
	n := int(frameSize) - headroom - int(spread)
	if mode == ModeZeroCopy {
		n = n / bufferUnit * bufferUnit
	}
	return n
}

// maxMTU is the largest MTU whose packets fit into a frame, with two VLAN tags.
func maxMTU(frameSize uint32, mode Mode) int {
	spread := uint64(packetSpread)
	if mode == ModeZeroCopy {
		spread = 0
	}
	return maxPacket(frameSize, spread, mode) - linkHeader
}

// maxMTU is the largest MTU whose packets the UMEM's sockets take.
func (u *UMEM) maxMTU(mode Mode) int {
	if u.longs != nil {
		return LongMTU
	}
	return maxPacket(u.FrameSize(), u.spread, mode) - linkHeader
}

// frameSizeFor returns the frame that is asked for or, with 0, the smallest that takes the
// packets of an MTU. If none does it is the largest, for packets of several frames where there
// may be such. Where not, the kernel counts what does not fit in copy mode; of zero-copy
// drivers not all do, so that it is an error there.
func frameSizeFor(mtu int, mode Mode, asked uint32, multiBuffer bool) (uint32, error) {
	for _, size := range frameSizes {
		if mtu <= maxMTU(size, mode) && (asked == 0 || asked == size) {
			return size, nil
		}
	}
	largest := cmp.Or(asked, frameSizes[len(frameSizes)-1])
	if mode == ModeZeroCopy && !(multiBuffer && mtu <= LongMTU) {
		return 0, fmt.Errorf("%w: an MTU of %d in zero-copy, where drivers may use %d bytes of a frame of %d: set it to %d at most",
			ErrNotSupported, mtu, maxPacket(largest, 0, mode), largest, maxMTU(largest, mode))
	}
	return largest, nil
}

// fillAddress returns what to put on the FILL ring for the kernel to place a packet,
// spread+headroom further on, within the frame.
func fillAddress(frame uint32, shift uint, spread uint64) uint64 {
	return uint64(frame)<<shift - uint64(frame)*64&spread
}

// received returns the address of a packet from that on the RX ring, which is its
// chunk's with the offset in the upper 16 bits if chunks are unaligned
// (XSK_UNALIGNED_BUF_OFFSET_SHIFT of include/uapi/linux/if_xdp.h), else just it.
func received(addr uint64) uint64 { return addr&(1<<48-1) + addr>>48 }
