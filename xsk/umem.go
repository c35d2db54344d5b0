package xsk

import "math/bits"

// Desc is a descriptor of the RX and TX rings, struct xdp_desc of
// include/uapi/linux/if_xdp.h: Len bytes at offset Addr of the UMEM. Options is 0: the
// owner of a socket sees no pieces of packets (long.go), and metadata is refused.
type Desc struct {
	Addr    uint64
	Len     uint32
	Options uint32
}

// UMEM is the packet memory: a row of frames of one size, and the ledger that says
// whose each frame is. It belongs to the goroutine that owns its sockets, of which
// there is one, or several that share it (sharing.go): frames received on one may be
// sent on another, and come back from whichever completion ring to the one free list.
type UMEM struct {
	memory  []byte // the frames, and behind them the places of long packets
	shift   uint   // log2 of the frame size
	spread  uint64 // of the packets in their frames: 0 or packetSpread
	fd      int    // of the memfd with frames and ledger, for a successor; or -1
	release func() error
	longs   *longs // nil: a packet has one frame
	long    uint64 // all ones if there are longs: a packet may go on behind its frame
	sharing
	ledger
}

// hand says who has a frame: of filled and transmit also which of the UMEM's sockets, in
// the bits above (see handOf).
type hand uint8

const (
	free     hand = iota // on the free list
	filled               // on the FILL ring, in the kernel's receive path, or on the RX ring
	held                 // received, and the caller's
	transmit             // on the TX ring, under way, or on the COMPLETION ring
	numHands
)

// ledger is the state of the frames. It lives beside them in shared memory, for a
// successor to map: with the rings it tells each frame's hand, even if the writer died
// in mid-batch.
type ledger struct {
	*ledgerHead
	hands []hand   // by frame
	stack []uint32 // the free list, count[free] deep; last in first out, for warm caches
}

// ledgerHead is what precedes hands and stack in memory. Its layout is a format:
// change ledgerVersion with it.
type ledgerHead struct {
	magic, version    uint32
	frames, frameSize uint32
	count             [numHands]uint32
	_                 [8]uint32 // to 64 bytes
}

const (
	ledgerMagic   = 0x6166786c // "afxl"
	ledgerVersion = 2
)

// ledgerSize returns the bytes that the ledger of so many frames takes.
func ledgerSize(frames uint32) int {
	return 64 + alignUp(int(frames), 64) + 4*int(frames)
}

func alignUp(n, to int) int { return (n + to - 1) &^ (to - 1) }

// newUMEM puts all frames on the free list. Both memories must outlive the UMEM, whose
// release is called once its last socket is closed. What memory has behind the frames is
// longMemory's, or nothing.
func newUMEM(memory, ledgerMemory []byte, frames, frameSize uint32, spread uint64) *UMEM {
	u := &UMEM{
		memory:  memory,
		fd:      -1,
		spread:  spread,
		shift:   uint(bits.TrailingZeros32(frameSize)),
		release: func() error { return nil },
		ledger:  ledgerAt(ledgerMemory, frames),
	}
	*u.ledgerHead = ledgerHead{magic: ledgerMagic, version: ledgerVersion, frames: frames, frameSize: frameSize}
	u.count[free] = frames
	if edge := uint64(frames) * uint64(frameSize); uint64(len(memory)) > edge {
		u.longs, u.long = newLongs(edge), ^uint64(0)
	}
	clear(u.hands)
	for i := range u.stack {
		u.stack[i] = frames - 1 - uint32(i) // frame 0 on top
	}
	return u
}

// Frame returns the packet of d. Its capacity reaches to the end of the frame, so that
// a packet may grow at the end, or of a long one at least to its own. The bytes are shared with the kernel: they are the
// caller's from Receive until Transmit or Release, and gone after Close. It panics if
// d lies outside of the UMEM.
func (u *UMEM) Frame(d Desc) []byte {
	shift := u.shift & 63 // which spares the compiler a case
	end := d.Addr + uint64(d.Len)
	return u.memory[d.Addr:end:max((d.Addr>>shift+1)<<shift, end&u.long)]
}

// Shift has the packet of d begin n bytes earlier in its frame, or later if n is negative,
// and returns it. There is room for at least 256 bytes in front of a received packet. ok is
// false, with d as it was, if the frame or the packet ends there.
func (u *UMEM) Shift(d *Desc, n int) (packet []byte, ok bool) {
	at, length := int(d.Addr&(1<<u.shift-1))-n, int(d.Len)+n
	if at < 0 || length <= 0 {
		return nil, false
	}
	d.Addr, d.Len = d.Addr-uint64(n), uint32(length)
	return u.Frame(*d), true
}

// FrameSize returns the size of a frame in bytes.
func (u *UMEM) FrameSize() uint32 { return 1 << u.shift }

// Frames returns the number of frames.
func (u *UMEM) Frames() uint32 { return uint32(len(u.hands)) }

// Account is whose the frames are. The four numbers sum to the number of frames at any
// time: each is counted for itself, none is computed from the others.
type Account struct {
	Free     uint32 // on the free list
	Filled   uint32 // with the kernel, or on the RX ring, to receive into
	Held     uint32 // received, and the caller's
	Transmit uint32 // given to be sent, and not yet completed
}

// Total returns the sum.
func (a Account) Total() uint32 { return a.Free + a.Filled + a.Held + a.Transmit }

// Add adds another UMEM's.
func (a *Account) Add(o Account) {
	a.Free += o.Free
	a.Filled += o.Filled
	a.Held += o.Held
	a.Transmit += o.Transmit
}

// Account returns the current account.
func (u *UMEM) Account() Account {
	return Account{u.count[free], u.count[filled], u.count[held], u.count[transmit]}
}

// view is the hands of all frames, for the loop over a batch: small enough to stay in
// registers.
type view struct {
	hands []hand
	shift uint
}

func (u *UMEM) view() view { return view{u.hands, u.shift & 63} }

// frame returns the number of the frame at addr.
func (v view) frame(addr uint64) uint32 { return uint32(addr >> v.shift) }

// of says in whose hand the frame at addr is; free if there is none.
func (v view) of(addr uint64) hand {
	if i := addr >> v.shift; i < uint64(len(v.hands)) {
		return v.hands[i]
	}
	return free
}

// move passes the frame at addr from one hand to another. It reports whether the frame
// exists and was in that hand; if not, nothing changes. The caller keeps the counts,
// once a batch.
func (v view) move(addr uint64, from, to hand) bool {
	i := addr >> v.shift
	if i >= uint64(len(v.hands)) || v.hands[i] != from {
		return false
	}
	v.hands[i] = to
	return true
}

// sendable reports whether the kernel would take d (xskq_cons_is_valid_desc of
// net/xdp/xsk_queue.h): a packet of at least a byte, within one frame. What it refuses,
// it may skip without ever completing it, and the frame would be lost.
func (v view) sendable(d *Desc) bool {
	size := uint64(1) << v.shift
	return d.Len != 0 && d.Options == 0 && d.Addr&(size-1)+uint64(d.Len) <= size
}

// counted adds n moved frames to the counts.
func (u *UMEM) counted(n uint32, from, to hand) {
	u.count[from] -= n
	u.count[to] += n
}

// top returns the places above the top of the free list. Who moves frames there writes
// their numbers first, and counts them once a batch.
func (u *UMEM) top() []uint32 { return u.stack[u.count[free]:] }

// takeFree moves n frames, the last that were put back, from the free list, which must
// have so many, and counts them. It returns their numbers, good until the next one is put back.
func (u *UMEM) takeFree(n uint32, to hand) []uint32 {
	top := u.count[free]
	taken := u.stack[top-n : top]
	for _, i := range taken {
		u.hands[i] = to
	}
	u.counted(n, free, to.kind())
	return taken
}
