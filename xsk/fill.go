package xsk

// fillRing gives empty frames to the kernel, by address.
//
//	producer  written by us
//	consumer  written by the kernel, in __xskq_cons_release: a frame was taken
//	flags     written by the kernel, xsk_set_rx_need_wakeup: the driver ran out of
//	          frames and sleeps. Zero-copy only; in copy mode the sender's softirq
//	          comes for frames by itself, and RX never needs a system call.
type fillRing struct {
	indices
	addrs []uint64
}

func newFillRing(r Ring[uint64]) fillRing { return fillRing{newIndices(r), r.Entries} }

// window returns the entries to be written next; room was asked before, publish follows.
func (r *fillRing) window() window[uint64] { return window[uint64]{r.addrs, r.prod, r.mask} }
