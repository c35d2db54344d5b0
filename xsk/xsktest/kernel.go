package xsktest

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/xsk"
)

// Kernel is the other side of a socket's rings. The methods that deliver belong to one
// goroutine at a time, as the kernel's receive path does; all others may be called
// from any.
type Kernel struct {
	linux  Linux
	socket *xsk.Socket
	rings  xsk.Rings
	owners []owner // by frame; handed on with the frame, so no lock

	multi     bool   // a packet may have several frames
	headroom  uint64 // how far into its chunk a packet is; see Linux
	place     uint64 // the same in the form of the RX ring
	maxPacket uint32 // in a frame

	// The delivering goroutine's.
	fillCons, rxProd uint32
	next             uint64 // address on the FILL ring of the frame that Buffer returned
	haveNext         bool
	arrived          chan struct{} // wakes Poll

	down, gone atomic.Bool
	lastError  atomic.Uint32
	stats      struct{ rxDropped, rxRingFull, fillEmpty, txEmpty, wakes atomic.Uint64 }

	mu        sync.Mutex // the rest: what sends, completes and tells
	txCons    uint32
	txSeen    uint32 // what was last read of the TX ring's producer
	cqProd    uint32
	part      []byte   // of a packet that was taken, and goes on
	inFlight  []uint64 // taken and not completed, oldest first
	hold      bool
	record    bool
	sent      [][]byte
	sentCount uint64
	budget    int
	answers   []unix.Errno
	drops     int
	err       error
}

// owner is who has a frame, as far as the kernel can know.
type owner uint8

const (
	theirs owner = iota // the socket's, or on a ring to us
	receiving
	sending
)

// New returns a kernel of today in copy mode, and its socket with the FILL ring filled.
// It panics if the sizes are not such as xsk.Config takes.
func New(frames, frameSize, ringSize uint32) *Kernel {
	return NewAs(Today, frames, frameSize, ringSize)
}

// NewAs is New for another kernel than today's.
func NewAs(linux Linux, frames, frameSize, ringSize uint32) *Kernel {
	return newKernel(linux, nil, make([]owner, frames), frameSize, ringSize, false)
}

// NewMultiBuffer is NewAs for a socket whose packets may have several frames.
func NewMultiBuffer(linux Linux, frames, frameSize, ringSize uint32) *Kernel {
	return newKernel(linux, nil, make([]owner, frames), frameSize, ringSize, true)
}

// Share returns the kernel's side of a further socket, of another interface and queue,
// that shares the UMEM of k's. It receives from the socket's first Recycle on.
func (k *Kernel) Share(ringSize uint32) *Kernel {
	return newKernel(k.linux, k.socket, k.owners, k.socket.UMEM().FrameSize(), ringSize, k.multi)
}

func newKernel(linux Linux, share *xsk.Socket, owners []owner, frameSize, ringSize uint32, multi bool) *Kernel {
	k := &Kernel{
		linux: linux, multi: multi,
		rings: xsk.Rings{
			Fill:       xsk.NewRing[uint64](ringSize),
			RX:         xsk.NewRing[xsk.Desc](ringSize),
			TX:         xsk.NewRing[xsk.Desc](ringSize),
			Completion: xsk.NewRing[uint64](ringSize),
		},
		owners:   owners,
		arrived:  make(chan struct{}, 1),
		inFlight: make([]uint64, 0, ringSize),
		record:   true,
		budget:   linux.budget(ringSize),
	}
	k.SetNeedWakeup(true)
	s, err := xsk.NewFake(xsk.Info{
		Mode: linux.mode(), TxBudget: k.budget, Frames: uint32(len(owners)), FrameSize: frameSize, MultiBuffer: multi,
	}, k.rings, (*calls)(k), share)
	if err != nil {
		panic("xsktest: " + err.Error())
	}
	k.socket = s
	k.headroom, k.place = linux.headroom()
	k.maxPacket = linux.room(frameSize)
	return k
}

// Socket returns the socket. There is but one.
func (k *Kernel) Socket() *xsk.Socket { return k.socket }

// Err returns the first breach of the ring protocol by the socket, or nil: an address
// outside of the UMEM, a packet that crosses its frame's end, a frame given twice.
func (k *Kernel) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.err
}

// SetDown takes the link down, or up again. While it is down nothing is received or
// sent, and what is on the rings stays.
func (k *Kernel) SetDown(down bool) { k.down.Store(down) }

// Remove removes the interface, for good. It is the delivering goroutine's.
func (k *Kernel) Remove() {
	k.gone.Store(true)
	k.lastError.Store(uint32(unix.ENETDOWN))
	k.letGo()
	k.wake()
}

// letGo ends what the kernel does with frames.
func (k *Kernel) letGo() {
	k.mu.Lock()
	defer k.mu.Unlock()
	size := uint64(k.socket.UMEM().FrameSize())
	if k.haveNext {
		k.owners[(k.next+k.headroom)/size] = theirs
		k.haveNext = false
	}
	for _, addr := range k.inFlight {
		k.owners[addr/size] = theirs
	}
	k.inFlight = k.inFlight[:0]
}

// SetNeedWakeup says whether the kernel waits for a system call to look at the TX
// ring: true, as in copy mode, from the start. With false, as in a busy zero-copy
// driver, it looks when Transmit is called.
func (k *Kernel) SetNeedWakeup(on bool) {
	flag := uint32(0)
	if on {
		flag = unix.XDP_RING_NEED_WAKEUP
	}
	k.rings.TX.Flags.Store(flag)
}

// SetFillWakeup sets the flag of a zero-copy driver that sleeps for want of frames.
// Wakes counts the calls that came for it.
func (k *Kernel) SetFillWakeup(on bool) {
	flag := uint32(0)
	if on {
		flag = unix.XDP_RING_NEED_WAKEUP
	}
	k.rings.Fill.Flags.Store(flag)
}

// Wakes returns how often the socket asked to look at the FILL ring.
func (k *Kernel) Wakes() uint64 { return k.stats.wakes.Load() }

func (k *Kernel) wake() {
	select {
	case k.arrived <- struct{}{}:
	default:
	}
}
