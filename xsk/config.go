package xsk

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// Driver names who sets the socket up. See the package comment.
type Driver string

// The drivers. The empty Driver means DriverNative.
const (
	DriverNative Driver = "native"
	DriverAsavie Driver = "asavie"
)

// Mode is how packets get between the network driver and the UMEM.
type Mode string

// The modes. The empty Mode means ModeAuto.
const (
	ModeAuto     Mode = "auto"      // zero-copy where it works, else copy
	ModeZeroCopy Mode = "zero-copy" // the driver's DMA goes straight to the UMEM
	ModeCopy     Mode = "copy"      // the kernel copies; works with every interface
	ModeGeneric  Mode = "generic"   // the XDP program runs on sk_buffs; for the socket the same as copy
)

// Config says what to open. The zero values of all but Interface are good defaults.
type Config struct {
	Interface string // in the calling thread's network namespace
	Queue     int    // receive and transmit queue, from 0
	// TxQueues is how many TX queues the interface sends by. In copy mode the kernel takes
	// nothing from the TX ring of a queue beyond, and says that it has
	// (__xsk_generic_xmit of net/xdp/xsk.c): such a socket sends by a packet socket. It has
	// no zero-copy. The default is that there is a TX queue for each.
	TxQueues int
	Driver   Driver // default DriverNative
	Mode     Mode   // default ModeAuto
	// NoZeroCopy: the driver is known to have none, so that ModeAuto does not try it. The
	// frames of an attempt stay in memory until the kernel comes to let go of them
	// (xp_release_deferred of net/xdp/xsk_buff_pool.c), beside those that are used then.
	NoZeroCopy bool

	// Share is a socket whose UMEM this one is to use too, of another queue or interface
	// and of the same owner. The mode and all that is said of the frames are then as
	// there. The error is ErrNotSupported where that can't be; a UMEM of its own may.
	Share *Socket

	// Frames is the number of packet buffers. The default, four times RingSize, keeps
	// all four rings full at once. For each further socket that is to share them it is
	// well to have as many more as its FILL and RX rings take. Long packets are sent in frames
	// that are free: with no more frames than the FILL ring takes, there may be none.
	Frames uint32
	// FrameSize is 2048 or 4096 bytes; a packet has up to [Info].MaxPacket of them.
	// The default, 0, is the smallest that takes MTU in the mode that it comes to: in
	// zero-copy, with an MTU of 1500, it is 4096.
	FrameSize uint32
	// MTU is the largest that frames are to take, if it is larger than the interface's: of
	// the others that are to share them.
	MTU int
	// MultiBuffer: packets of the MTU that fit into no frame may have several (see
	// [MultiBuffer]); the XDP program has to be one that takes such.
	MultiBuffer bool
	// RingSize is the number of descriptors of each ring, a power of two. Default 2048.
	RingSize uint32
}

const (
	// DefaultRingSize is how many descriptors a ring has if nothing else is asked for.
	DefaultRingSize = 2048

	// linkHeader is an Ethernet header with two VLAN tags.
	linkHeader = 14 + 2*4
)

// frameSizes are those that the kernel takes, but for smaller ones.
var frameSizes = [...]uint32{2048, 4096}

// MaxMTU is the largest MTU whose packets fit into a frame of a size, with two VLAN tags: in
// ModeZeroCopy, with the drivers that take the least of one, and else with what ModeAuto
// comes to if it has to, copy. The size is as in [Config].
func MaxMTU(mode Mode, frameSize uint32) int {
	return maxMTU(cmp.Or(frameSize, frameSizes[len(frameSizes)-1]), mode)
}

// FrameMemory is how many bytes the frames of a socket with the default number of them take
// on an interface of the MTU, in ModeCopy or ModeZeroCopy: locked memory, unless the process
// has CAP_IPC_LOCK. The size is as in [Config]. Places of long packets are not locked.
func FrameMemory(mtu int, mode Mode, frameSize uint32) uint64 {
	size, err := frameSizeFor(mtu, mode, frameSize, false)
	if err != nil {
		size = frameSizes[len(frameSizes)-1]
	}
	return 4 * DefaultRingSize * uint64(size)
}

// LongMemory is how many bytes the places of a socket's long packets take.
const LongMemory = longPlaces * longSize

// withDefaults fills in what was left out, but the frame size, which depends on how the
// socket is bound.
func (c Config) withDefaults() Config {
	if c.Driver == "" {
		c.Driver = DriverNative
	}
	if c.Mode == "" {
		c.Mode = ModeAuto
	}
	if c.RingSize == 0 {
		c.RingSize = DefaultRingSize
	}
	if c.Frames == 0 {
		c.Frames = 4 * c.RingSize
	}
	return c
}

// validate checks what the kernel would only answer with EINVAL.
func (c Config) validate() error {
	if c.Queue < 0 {
		return fmt.Errorf("queue %d of %s: %w", c.Queue, c.Interface, ErrNoQueue)
	}
	if openers[c.Driver] == nil {
		return fmt.Errorf("driver %q: want %q or %q", c.Driver, DriverNative, DriverAsavie)
	}
	if attempts[c.Mode] == nil {
		return fmt.Errorf("mode %q: want %q, %q, %q or %q", c.Mode, ModeAuto, ModeZeroCopy, ModeCopy, ModeGeneric)
	}
	if c.FrameSize == 0 {
		c.FrameSize = frameSizes[0] // one is chosen later; the rest is to be checked
	}
	if c.MultiBuffer && c.Driver != DriverNative {
		return fmt.Errorf("packets of several frames: %w by driver %s", ErrNotSupported, c.Driver)
	}
	return checkSizes(c.Frames, c.FrameSize, c.RingSize)
}

func checkSizes(frames, frameSize, ringSize uint32) error {
	// Larger frames than a page need hugepages, other sizes the unaligned mode
	// (xdp_umem_reg in net/xdp/xdp_umem.c).
	if !slices.Contains(frameSizes[:], frameSize) {
		return fmt.Errorf("frame size %d: want 2048 or 4096 bytes", frameSize)
	}
	if bits.OnesCount32(ringSize) != 1 || ringSize > 1<<16 {
		return fmt.Errorf("ring size %d: want a power of two up to 65536", ringSize)
	}
	if frames < 2 || frames > 1<<19 || frames%2 != 0 { // up to 2 GiB, of whole pages
		return fmt.Errorf("%d frames: want an even number from 2 to %d", frames, 1<<19)
	}
	return nil
}
