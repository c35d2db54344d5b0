package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// DecapsulateInKernel is [Host.Decapsulate] by the kernel's own tunnels, for what is sent to
// the host's addresses four and six. A plain kernel lacks the modules: ipip, sit,
// ip6_tunnel, ip_gre, ip6_gre and fou.
func (h *Host) DecapsulateInKernel(four, six netip.Addr) error {
	named := func(kind string) netlink.LinkAttrs {
		a := netlink.NewLinkAttrs()
		a.Name = TunnelEnd + "-" + kind
		return a
	}
	local4, local6 := four.AsSlice(), six.AsSlice()
	for _, device := range []netlink.Link{
		&netlink.Iptun{LinkAttrs: named("ipip"), Local: local4},
		&netlink.Sittun{LinkAttrs: named("sit"), Local: local4},
		&netlink.Ip6tnl{LinkAttrs: named("ip6tnl"), Local: local6}, // protocol 0 is both families
		&netlink.Gretun{LinkAttrs: named("gre"), Local: local4},
		&netlink.Gretun{LinkAttrs: named("ip6gre"), Local: local6, Remote: netip.IPv6Unspecified().AsSlice()},
	} {
		if err := h.link.LinkAdd(device); err != nil {
			return fmt.Errorf("make tunnel %s of %s: %w", device.Attrs().Name, h.Name, err)
		}
		if err := h.setUp(device.Attrs().Name); err != nil {
			return err
		}
	}
	return h.Do(func() error {
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			if err := receiveGUE(uint8(family)); err != nil {
				return fmt.Errorf("receive GUE on %s: %w", h.Name, err)
			}
		}
		return nil
	})
}

// receiveGUE has the kernel take GUE at [GUEPort], in this thread's namespace. netlink.FouAdd
// names an IP protocol of 0 in doing so, which newer kernels refuse.
func receiveGUE(family uint8) error {
	fou, err := netlink.GenlFamilyGet("fou")
	if err != nil {
		return err
	}
	r := nl.NewNetlinkRequest(int(fou.ID), unix.NLM_F_ACK)
	r.AddRawData([]byte{netlink.FOU_CMD_ADD, 1, 0, 0})
	for _, a := range []*nl.RtAttr{
		nl.NewRtAttr(netlink.FOU_ATTR_PORT, binary.BigEndian.AppendUint16(nil, GUEPort)),
		nl.NewRtAttr(netlink.FOU_ATTR_TYPE, []byte{netlink.FOU_ENCAP_GUE}), nl.NewRtAttr(netlink.FOU_ATTR_AF, []byte{family}),
	} {
		r.AddRawData(a.Serialize())
	}
	_, err = r.Execute(unix.NETLINK_GENERIC, 0)
	return err
}
