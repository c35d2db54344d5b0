package xsk

// rxRing brings received packets.
//
//	producer  written by the kernel, in xskq_prod_submit at the end of a NAPI poll
//	consumer  written by us, after the last read of the descriptors. That frees the
//	          ring's entries only: the frames are ours until Transmit or Release
//	flags     not used
type rxRing struct {
	indices
	descs []Desc
}

func newRXRing(r Ring[Desc]) rxRing { return rxRing{newIndices(r), r.Entries} }

// window returns the entries to be read next; ready was asked before, consumed follows.
func (r *rxRing) window() window[Desc] { return window[Desc]{r.descs, r.cons, r.mask} }
