package xsk

// txRing takes packets to send.
//
//	producer  written by us
//	consumer  written by the kernel: xskq_cons_release in __xsk_generic_xmit (copy),
//	          xsk_tx_release (zero-copy). The packet is under way, the frame still
//	          the kernel's until it comes back on the completion ring
//	flags     written by the kernel. In copy mode always set, as setsockopt(XDP_TX_RING)
//	          left it: each batch costs a sendto. In zero-copy the driver's NAPI sets
//	          and clears it
type txRing struct {
	indices
	descs []Desc
}

func newTXRing(r Ring[Desc]) txRing { return txRing{newIndices(r), r.Entries} }

// window returns the entries to be written next; room was asked before, publish follows.
func (r *txRing) window() window[Desc] { return window[Desc]{r.descs, r.prod, r.mask} }

// pending returns how many descriptors the kernel has not taken yet.
func (r *txRing) pending() uint32 {
	r.cons = r.consumer.Load()
	return r.prod - r.cons
}
