package xsk

// txRing takes packets to send.
//
//	producer  written by us
//	consumer  written by the kernel: __xsk_generic_xmit (copy; see below),
//	          xsk_tx_release (zero-copy). The packet is under way, the frame still
//	          the kernel's until it comes back on the completion ring
//	flags     written by the kernel. In copy mode always set, as setsockopt(XDP_TX_RING)
//	          left it: each batch costs a sendto. In zero-copy the driver's NAPI sets
//	          and clears it
//
// In copy mode the consumer may lag behind what was taken (net/xdp/xsk.c and
// xsk_queue.h, each as of the version named):
//
//   - Before Linux 6.17 __xsk_generic_xmit stores it nowhere but in
//     xskq_cons_get_entries, that is, when xskq_cons_peek_desc has used up all that it
//     saw of the producer, and wants more. A call that ends for another reason (its
//     budget is spent, the send buffer or the completion ring is full, the interface
//     refuses a packet) stores nothing, whatever it has sent.
//   - Linux 6.17 also stores it at the end of a call that sent something
//     (__xsk_tx_release). A call that sent nothing and lost a packet stores nothing.
//   - Later ones, 6.18.44 among them, store it at the end of each call.
//   - Zero-copy drivers store it with each batch (xsk_tx_peek_release_desc_batch).
//
// So the kernel is shown no more descriptors at a time than a call sends, limit: a call
// that nothing cuts short uses up all that it was shown, and all kernels store that.
// This needs no knowledge of which kernel it is, and costs no call more: what was not
// shown would have waited for the next call anyway. The consumer is behind by less than
// limit at any time.
//
// A packet in several frames is shown whole. If it ended one call's descriptors and began the
// next one's, an interface that is busy then would have the kernel go back to its start,
// behind what it had said it took (xskq_cons_cancel_n).
type txRing struct {
	indices
	descs []Desc
	limit uint32 // descriptors to show at a time
	shown uint32 // the producer word
}

func newTXRing(r Ring[Desc], limit uint32) txRing {
	x := newIndices(r)
	return txRing{x, r.Entries, limit, x.prod}
}

// window returns the entries to be written next; room was asked before, publish follows.
func (r *txRing) window() window[Desc] { return window[Desc]{r.descs, r.prod, r.mask} }

// publish hands n entries that were written to the kernel, as far as it may see them.
func (r *txRing) publish(n uint32) {
	r.prod += n
	r.show()
}

// show lets the kernel see what it may of the entries that were published. It has seen
// all that was shown before: neither index that this is made from goes back.
func (r *txRing) show() {
	shown := r.cons + min(r.prod-r.cons, r.limit)
	if shown != r.prod {
		shown = r.whole(shown)
	}
	if shown != r.shown {
		r.shown = shown
		r.producer.Store(shown)
	}
}

// whole returns where the last packet ends in front of an index that cuts the descriptors
// off; the index itself, if there is none.
func (r *txRing) whole(end uint32) uint32 {
	for at := end; at != r.cons; at-- {
		if r.descs[(at-1)&r.mask].Options&flagContinued == 0 {
			return at
		}
	}
	return end
}

// pending returns how many descriptors the kernel has not taken yet, as far as it says.
func (r *txRing) pending() uint32 {
	r.cons = r.consumer.Load()
	return r.prod - r.cons
}
