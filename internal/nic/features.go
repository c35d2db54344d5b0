package nic

import (
	"encoding/binary"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The generic netlink family netdev (include/uapi/linux/netdev.h).
const (
	devGet         = 1      // NETDEV_CMD_DEV_GET
	devIfindex     = 1      // NETDEV_A_DEV_IFINDEX
	devXDPFeatures = 3      // NETDEV_A_DEV_XDP_FEATURES
	actZeroCopy    = 1 << 3 // NETDEV_XDP_ACT_XSK_ZEROCOPY
)

// noZeroCopy reports whether the interface's driver says that it has no zero-copy; Linux
// 6.3 asks it. The question is put in the calling thread's network namespace.
func noZeroCopy(index int) bool {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return false
	}
	r := nl.NewNetlinkRequest(int(family.ID), 0)
	r.AddRawData(append([]byte{devGet, 1, 0, 0}, nl.NewRtAttr(devIfindex, nl.Uint32Attr(uint32(index))).Serialize()...))
	replies, err := r.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil || len(replies) == 0 {
		return false
	}
	return lacksZeroCopy(replies[0])
}

// lacksZeroCopy reads the answer.
func lacksZeroCopy(reply []byte) bool {
	attrs, err := nl.ParseRouteAttr(reply[min(nl.SizeofGenlmsg, len(reply)):])
	if err != nil {
		return false
	}
	for _, a := range attrs {
		if a.Attr.Type == devXDPFeatures && len(a.Value) == 8 {
			return binary.NativeEndian.Uint64(a.Value)&actZeroCopy == 0
		}
	}
	return false
}
