package xsk

import "golang.org/x/sys/unix"

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

// flagContinued is XDP_PKT_CONTD of include/uapi/linux/if_xdp.h: the packet goes on in the
// next descriptor. That is for sockets bound with XDP_USE_SG (long.go): for others the kernel
// drops what is longer than a frame (xsk_rcv_check in net/xdp/xsk.c). In copy mode that is
// sure, and not looked for. In zero-copy the driver decides what a frame takes, and some let
// pieces pass.
const flagContinued = unix.XDP_PKT_CONTD

// window returns the entries to be read next; ready was asked before, consumed follows.
func (r *rxRing) window() window[Desc] { return window[Desc]{r.descs, r.cons, r.mask} }
