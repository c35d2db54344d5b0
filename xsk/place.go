package xsk

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

// maxPacket is the room for a packet in a frame.
func maxPacket(frameSize uint32, spread uint64) int { return int(frameSize) - headroom - int(spread) }

// fillAddress returns what to put on the FILL ring for the kernel to place a packet,
// spread+headroom further on, within the frame.
func fillAddress(frame uint32, shift uint, spread uint64) uint64 {
	return uint64(frame)<<shift - uint64(frame)*64&spread
}

// received returns the address of a packet from that on the RX ring, which is its
// chunk's with the offset in the upper 16 bits if chunks are unaligned
// (XSK_UNALIGNED_BUF_OFFSET_SHIFT of include/uapi/linux/if_xdp.h), else just it.
func received(addr uint64) uint64 { return addr&(1<<48-1) + addr>>48 }
