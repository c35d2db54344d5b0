package nic

import (
	"encoding/binary"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The generic netlink family netdev (include/uapi/linux/netdev.h).
const (
	devGet           = 1      // NETDEV_CMD_DEV_GET
	devIfindex       = 1      // NETDEV_A_DEV_IFINDEX
	devXDPFeatures   = 3      // NETDEV_A_DEV_XDP_FEATURES
	devXDPZCMaxFrags = 4      // NETDEV_A_DEV_XDP_ZC_MAX_SEGS, Linux 6.6
	actBasic         = 1 << 0 // NETDEV_XDP_ACT_BASIC
	actZeroCopy      = 1 << 3 // NETDEV_XDP_ACT_XSK_ZEROCOPY
	actRxFrags       = 1 << 5 // NETDEV_XDP_ACT_RX_SG
)

// features are what the driver says of XDP on an interface; Linux 6.3 asks it. The zero value
// is one that says nothing.
type features struct {
	noNative, noZeroCopy, noFrags bool
	zeroCopyFrames                int
}

// ask puts the question, in the calling thread's network namespace.
func ask(index int) features {
	netdev, err := findFamily("netdev")
	if err != nil {
		return features{}
	}
	r := nl.NewNetlinkRequest(int(netdev.id), 0)
	r.AddRawData(generic(devGet, 1, nl.NewRtAttr(devIfindex, nl.Uint32Attr(uint32(index)))))
	replies, err := r.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(replies) == 0 {
		return features{}
	}
	return readFeatures(replies[0])
}

// readFeatures reads the answer.
func readFeatures(reply []byte) (f features) {
	attrs, err := nl.ParseRouteAttr(reply[min(nl.SizeofGenlmsg, len(reply)):])
	if err != nil {
		return f
	}
	for _, a := range attrs {
		switch {
		case a.Attr.Type == devXDPFeatures && len(a.Value) == 8:
			acts := binary.NativeEndian.Uint64(a.Value)
			f.noNative, f.noZeroCopy, f.noFrags = acts&actBasic == 0, acts&actZeroCopy == 0, acts&actRxFrags == 0
		case a.Attr.Type == devXDPZCMaxFrags && len(a.Value) == 4:
			f.zeroCopyFrames = int(binary.NativeEndian.Uint32(a.Value))
		}
	}
	return f
}
