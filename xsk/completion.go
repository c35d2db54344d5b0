package xsk

// completionRing brings the addresses of frames that were sent, or that the kernel
// gave up sending; it does not say which.
//
//	producer  written by the kernel: xsk_destruct_skb when the last holder of the copy
//	          lets go of it (copy), xsk_tx_completed from the driver (zero-copy)
//	consumer  written by us
//	flags     not used
//
// The kernel reserves an entry before it sends, so the ring never overflows; a full
// ring stops the sending instead (xsk_cq_reserve_locked), with EAGAIN.
type completionRing struct {
	indices
	addrs []uint64
}

func newCompletionRing(r Ring[uint64]) completionRing {
	return completionRing{newIndices(r), r.Entries}
}

// window returns the entries to be read next; ready was asked before, consumed follows.
func (r *completionRing) window() window[uint64] { return window[uint64]{r.addrs, r.cons, r.mask} }
