package replay

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/xsk"
)

const (
	frameSize = 4096 // the largest, so that as few packets as can be are too long
	ringSize  = 256  // more than a packet can bring about

	// In copy mode the kernel puts a packet so far behind the address that it was given:
	// XDP_PACKET_HEADROOM, and what a UMEM adds.
	headroom = 256 + 3*64

	// MaxPacket is how long a packet may be to be replayed, with its Ethernet header: one frame.
	// A running balancer with jumbo frames takes longer ones.
	MaxPacket = frameSize - headroom

	// With unaligned chunks an offset is in the address's upper bits
	// (XSK_UNALIGNED_BUF_OFFSET_SHIFT).
	offsetShift = 48
)

// Wire is what is behind a worker's socket, that of one port: packets are received from a file, and what is
// sent is told. It is a kernel in copy mode that takes and completes at once, on the one
// goroutine that there is.
type Wire struct {
	socket *xsk.Socket
	rings  xsk.Rings
	sent   func(frame []byte) // whose bytes are there until it returns

	fillCons, rxProd, txCons, completionProd uint32
}

var _ xsk.Kernel = (*Wire)(nil)

// NewWire returns the wire of a port, one of so many, whose frames are those of the first
// one; nil: this is the first.
func NewWire(port, ports int, first *Wire, sent func([]byte)) (*Wire, error) {
	w := &Wire{sent: sent, rings: xsk.Rings{
		Fill: xsk.NewRing[uint64](ringSize), RX: xsk.NewRing[xsk.Desc](ringSize),
		TX: xsk.NewRing[xsk.Desc](ringSize), Completion: xsk.NewRing[uint64](ringSize),
	}}
	w.rings.TX.Flags.Store(unix.XDP_RING_NEED_WAKEUP)
	var share *xsk.Socket
	if first != nil {
		share = first.socket
	}
	var err error
	w.socket, err = xsk.NewFake(xsk.Info{
		Index: port, Mode: xsk.ModeCopy, TxBudget: ringSize, Frames: uint32(2+2*ports) * ringSize, FrameSize: frameSize,
	}, w.rings, w, share)
	if err != nil {
		return nil, fmt.Errorf("make a socket without a kernel: %w", err)
	}
	return w, nil
}

// Socket returns the worker's side of it.
func (w *Wire) Socket() *xsk.Socket { return w.socket }

// Deliver receives one packet. It returns false if that does not fit into a frame.
func (w *Wire) Deliver(frame []byte) (bool, error) {
	if len(frame) > w.socket.Info().MaxPacket {
		return false, nil
	}
	fill := w.rings.Fill
	if fill.Producer.Load() == w.fillCons {
		w.socket.Recycle() // as a worker does with each batch, and once before the first
		if fill.Producer.Load() == w.fillCons {
			return false, errors.New("the worker keeps all frames")
		}
	}
	at := fill.Entries[w.fillCons%ringSize]
	copy(w.socket.UMEM().Frame(xsk.Desc{Addr: at + headroom, Len: uint32(len(frame))}), frame)
	w.rings.RX.Entries[w.rxProd%ringSize] = xsk.Desc{Addr: at + headroom<<offsetShift, Len: uint32(len(frame))}
	w.fillCons++
	w.rxProd++
	fill.Consumer.Store(w.fillCons)
	w.rings.RX.Producer.Store(w.rxProd)
	return true, nil
}

// Send takes what is on the TX ring.
func (w *Wire) Send() unix.Errno {
	for end := w.rings.TX.Producer.Load(); w.txCons != end; w.txCons++ {
		d := w.rings.TX.Entries[w.txCons%ringSize]
		w.sent(w.socket.UMEM().Frame(d))
		w.rings.Completion.Entries[w.completionProd%ringSize] = d.Addr
		w.completionProd++
	}
	w.rings.TX.Consumer.Store(w.txCons)
	w.rings.Completion.Producer.Store(w.completionProd)
	return 0
}

// Wake has nobody to wake: this and what follows is as of a kernel at rest.
func (w *Wire) Wake() {}

// Poll does not wait.
func (w *Wire) Poll(time.Duration) bool { return false }

// Error has none to tell.
func (w *Wire) Error() unix.Errno { return 0 }

// Statistics has nothing to count.
func (w *Wire) Statistics() (xsk.KernelStatistics, error) { return xsk.KernelStatistics{}, nil }
