package contest

import (
	"fmt"
	"time"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/internal/lab"
)

// receiveByThreads has a thread of the kernel receive for each queue of a host's
// interface, on these CPUs, and returns the threads' ids. A veth has queues to receive
// by (NAPI) when it has an XDP program or merges packets (GRO); that is switched on.
func receiveByThreads(h *lab.Host, cpus []int) ([]int, error) {
	err := h.Do(func() error {
		tool, err := ethtool.NewEthtool()
		if err != nil {
			return err
		}
		defer tool.Close()
		return tool.Change(lab.Interface, map[string]bool{"rx-gro": true})
	})
	if err != nil {
		return nil, fmt.Errorf("switch GRO of %s on: %w", h.Name, err)
	}
	if err := h.Sysfs("class/net/"+lab.Interface+"/threaded", "1"); err != nil {
		return nil, err
	}
	tids, err := napiThreads(h)
	if err != nil {
		return nil, fmt.Errorf("find who receives for %s: %w", h.Name, err)
	}
	for _, tid := range tids {
		if err := peer.PinThread(tid, cpus); err != nil {
			return nil, err
		}
	}
	return tids, nil
}

// Of the kernel's include/uapi/linux/netdev.h.
const (
	netdevFamily  = "netdev"
	netdevNapiGet = 11 // NETDEV_CMD_NAPI_GET
	napiIfindex   = 1  // NETDEV_A_NAPI_IFINDEX
	napiPID       = 4  // NETDEV_A_NAPI_PID
)

// napiThreads asks the kernel for the threads of an interface (napi-get in
// Documentation/netlink/specs/netdev.yaml).
func napiThreads(h *lab.Host) (tids []int, err error) {
	link, err := h.Netlink().LinkByName(lab.Interface)
	if err != nil {
		return nil, err
	}
	err = h.Do(func() error {
		family, err := netlink.GenlFamilyGet(netdevFamily)
		if err != nil {
			return err
		}
		r := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_DUMP)
		// Not by nl.Genlmsg, which leaves two bytes to chance that the kernel wants zero.
		header := []byte{netdevNapiGet, uint8(family.Version), 0, 0}
		r.AddRawData(append(header, nl.NewRtAttr(napiIfindex, nl.Uint32Attr(uint32(link.Attrs().Index))).Serialize()...))
		found, err := r.Execute(unix.NETLINK_GENERIC, 0)
		if err != nil {
			return err
		}
		for _, m := range found {
			attrs, err := nl.ParseRouteAttr(m[nl.SizeofGenlmsg:])
			if err != nil {
				return err
			}
			for _, a := range attrs {
				if a.Attr.Type == napiPID {
					tids = append(tids, int(nl.NativeEndian().Uint32(a.Value)))
				}
			}
		}
		return nil
	})
	if err == nil && len(tids) == 0 {
		err = fmt.Errorf("no thread receives for %s of %s", lab.Interface, h.Name)
	}
	return tids, err
}

// spent is CPU time of the balancer: its own, and that of who receives for it.
type spent struct{ own, receiving time.Duration }

// cpu returns what the balancer has spent so far.
func (s *stage) cpu() (t spent, err error) {
	if s.running == nil {
		return t, nil
	}
	if t.own, err = s.running.CPU(); err != nil {
		return t, err
	}
	for _, tid := range s.threads {
		d, err := peer.CPUOf(tid)
		if err != nil {
			return t, err
		}
		t.receiving += d
	}
	return t, nil
}
