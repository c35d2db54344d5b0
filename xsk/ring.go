package xsk

import "sync/atomic"

// Ring is the memory of one ring, shared by its two sides: a producer that writes
// entries and then the producer word, and a consumer that reads them and then writes
// the consumer word (struct xdp_ring in net/xdp/xsk_queue.h). Both words count
// entries since the ring was made and wrap at 2^32.
//
// The kernel pairs a store-release on each word with a load-acquire of the other
// side's ("A" to "D" in xsk_queue.h). Go's atomics are sequentially consistent, hence
// at least that; the store costs a full fence on amd64, hence once a batch.
type Ring[E uint64 | Desc] struct {
	Producer *atomic.Uint32 // written by the producer only
	Consumer *atomic.Uint32 // written by the consumer only
	Flags    *atomic.Uint32 // written by the kernel only: flagNeedWakeup
	Entries  []E            // a power of two of them
}

// NewRing returns a ring of size entries in plain memory.
func NewRing[E uint64 | Desc](size uint32) Ring[E] {
	// As in the kernel, each word has a cache line of its own and one to spare,
	// because CPUs fetch lines in pairs.
	words := new([3][128 / 4]atomic.Uint32)
	return Ring[E]{
		Producer: &words[0][0],
		Consumer: &words[1][0],
		Flags:    &words[2][0],
		Entries:  make([]E, size),
	}
}

// Rings are the four rings of a socket.
type Rings struct {
	Fill       Ring[uint64] // frames for the kernel to receive into
	RX         Ring[Desc]   // packets received
	TX         Ring[Desc]   // packets to send
	Completion Ring[uint64] // frames sent
}

// indices is our side of a ring: the shared words and our copies of them. One of the
// two copies is the truth, because only we write that word; the other is what we last
// saw of the kernel's, which can only be behind: there is never less room or fewer
// entries than the copies say.
type indices struct {
	producer, consumer, flags *atomic.Uint32
	size, mask                uint32

	prod, cons uint32 // our copies
}

func newIndices[E uint64 | Desc](r Ring[E]) indices {
	n := uint32(len(r.Entries))
	return indices{
		producer: r.Producer, consumer: r.Consumer, flags: r.Flags,
		size: n, mask: n - 1,
		// Not 0: a ring may have been used before it was mapped here.
		prod: r.Producer.Load(), cons: r.Consumer.Load(),
	}
}

// room returns how many of want entries we can produce. It looks at the kernel's word,
// a cache line that the other side keeps taking away, only when the copy won't do.
func (x *indices) room(want uint32) uint32 {
	n := x.size - (x.prod - x.cons)
	if n < want {
		x.cons = x.consumer.Load()
		n = x.size - (x.prod - x.cons)
	}
	return min(n, want)
}

// ready returns how many of want entries we can consume; it refreshes as room does.
func (x *indices) ready(want uint32) uint32 {
	n := x.prod - x.cons
	if n < want {
		x.prod = x.producer.Load()
		n = x.prod - x.cons
	}
	return min(n, want)
}

// publish hands n entries that were written to the kernel, and consumed gives n that
// were read back to it. Both store our copy, which saves reading the word back.
func (x *indices) publish(n uint32) {
	x.prod += n
	x.producer.Store(x.prod)
}

func (x *indices) consumed(n uint32) {
	x.cons += n
	x.consumer.Store(x.cons)
}

// window is the entries of a ring from the next one on, for one batch. It is small and
// has no pointer to the ring's own state, so that a loop keeps it in registers: a store
// to an entry could otherwise have changed it.
type window[E uint64 | Desc] struct {
	entries     []E
	first, mask uint32
}

// at returns the entry i places behind the first.
func (w window[E]) at(i uint32) *E { return &w.entries[(w.first+i)&w.mask] }

// flagNeedWakeup is XDP_RING_NEED_WAKEUP of include/uapi/linux/if_xdp.h: the kernel
// looks at the ring only when a system call asks it to.
const flagNeedWakeup = 1

// needsWakeup must be asked after publish: as both are sequentially consistent, either
// the kernel sees the new entries, or we see the flag that it set before it slept.
func (x *indices) needsWakeup() bool { return x.flags.Load()&flagNeedWakeup != 0 }
