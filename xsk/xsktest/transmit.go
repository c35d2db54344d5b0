package xsktest

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/xsk"
)

// Sent returns copies of the packets sent since the last call, in order.
func (k *Kernel) Sent() [][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	sent := k.sent
	k.sent = nil
	return sent
}

// SentCount returns how many packets were sent in all.
func (k *Kernel) SentCount() uint64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sentCount
}

// Record says whether Sent keeps copies: yes from the start. Without, sending does not
// allocate.
func (k *Kernel) Record(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.record = on
}

// Hold plays a slow receiver: while on, what is sent is not completed before Complete
// says so. Off completes what was held.
func (k *Kernel) Hold(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.hold = on
	if !on {
		k.complete(len(k.inFlight))
	}
}

// Complete completes up to n packets held back, oldest first, and returns how many.
func (k *Kernel) Complete(n int) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.complete(n)
}

// SetBudget limits the packets taken by a system call; more have it answer EAGAIN.
func (k *Kernel) SetBudget(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.budget = n
}

// Taken returns how many descriptors were taken off the TX ring in all. Its consumer
// may be behind; see [Linux].
func (k *Kernel) Taken() uint32 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.txCons
}

// Answer has the next system calls for the TX ring take nothing and return these. No
// kernel does so with EBUSY: that is for Drop.
func (k *Kernel) Answer(errnos ...unix.Errno) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answers = append(k.answers, errnos...)
}

// Drop has the interface refuse the next n packets: each completes unsent, and the
// system call that meets it ends with EBUSY.
func (k *Kernel) Drop(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drops = n
}

// Transmit takes what is on the TX ring, as a driver does that needs no system call.
func (k *Kernel) Transmit() unix.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.transmit()
}

// transmit is __xsk_generic_xmit.
func (k *Kernel) transmit() unix.Errno {
	before := k.sentCount
	errno := k.takeTX()
	if k.linux.storesAfter(k.sentCount - before) {
		k.rings.TX.Consumer.Store(k.txCons)
	}
	if !k.hold {
		k.complete(len(k.inFlight))
	}
	return errno
}

// takeTX takes packets off the TX ring until something ends it.
func (k *Kernel) takeTX() unix.Errno {
	ring, start := k.rings.TX, k.txCons
	room := uint32(k.completionRoom())
	for k.peek() {
		n := k.txCons - start
		if n == room && k.linux == Linux61 {
			return 0
		}
		if n == uint32(k.budget) || n == room {
			return unix.EAGAIN
		}
		d := ring.Entries[k.txCons&uint32(len(ring.Entries)-1)]
		k.txCons++
		if !k.accept(d) {
			return 0 // as the kernel does: skipped, and none the wiser
		}
		k.inFlight = append(k.inFlight, d.Addr)
		if k.multi && k.record {
			k.part = append(k.part, k.socket.UMEM().Frame(d)...)
		}
		if d.Options != 0 {
			continue // the kernel keeps it till the next call, if that ends here
		}
		if k.drops > 0 {
			k.drops--
			k.part = k.part[:0]
			return unix.EBUSY
		}
		k.sentCount++
		if k.record {
			k.sent = append(k.sent, k.whole(d))
		}
	}
	k.stats.txEmpty.Add(1)
	return 0
}

// peek reports whether there is a descriptor to take. It is xskq_cons_peek_desc, with
// xskq_cons_get_entries: the ring is looked at, and the consumer stored, only when all
// that was seen before is used up.
func (k *Kernel) peek() bool {
	if k.txCons == k.txSeen {
		k.rings.TX.Consumer.Store(k.txCons)
		k.txSeen = k.rings.TX.Producer.Load()
	}
	return k.txCons != k.txSeen
}

// whole returns a copy of the packet that ends with d.
func (k *Kernel) whole(d xsk.Desc) []byte {
	if !k.multi {
		return slices.Clone(k.socket.UMEM().Frame(d))
	}
	whole := slices.Clone(k.part)
	k.part = k.part[:0]
	return whole
}

// accept checks a descriptor and takes its frame; it tells of a bad one.
func (k *Kernel) accept(d xsk.Desc) bool {
	size := uint64(k.socket.UMEM().FrameSize())
	i := d.Addr / size
	var bad string
	switch {
	case i >= uint64(len(k.owners)):
		bad = "outside of the UMEM"
	case d.Len == 0 || d.Addr%size+uint64(d.Len) > size:
		bad = "empty or across the frame's end"
	case d.Options != 0 && (d.Options != unix.XDP_PKT_CONTD || !k.multi):
		bad = "unknown options"
	case k.owners[i] != theirs:
		bad = "of a frame that the kernel has"
	default:
		k.owners[i] = sending
		return true
	}
	k.breachLocked(fmt.Errorf("TX ring: descriptor %+v: %s", d, bad))
	return false
}

// completionRoom returns how many more packets may be under way: those that are have
// an entry of the COMPLETION ring reserved.
func (k *Kernel) completionRoom() int {
	ring := k.rings.Completion
	return len(ring.Entries) - int(k.cqProd-ring.Consumer.Load()) - len(k.inFlight)
}

func (k *Kernel) complete(n int) int {
	n = min(n, len(k.inFlight))
	if n == 0 {
		return 0
	}
	ring := k.rings.Completion
	size := uint64(k.socket.UMEM().FrameSize())
	for _, addr := range k.inFlight[:n] {
		k.owners[addr/size] = theirs
		ring.Entries[k.cqProd&uint32(len(ring.Entries)-1)] = addr
		k.cqProd++
	}
	ring.Producer.Store(k.cqProd)
	k.inFlight = k.inFlight[:copy(k.inFlight, k.inFlight[n:])]
	return n
}

func (k *Kernel) breach(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.breachLocked(err)
}

func (k *Kernel) breachLocked(err error) {
	if k.err == nil {
		k.err = err
	}
}
