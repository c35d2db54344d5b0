package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ReceiveByThreads has an interface receive by threads of the kernel's (threaded NAPI),
// not by soft interrupts in whoever sent, and returns the threads' ids by queue. They
// stay, whatever XDP program comes and goes: a veth has queues to receive by while it
// merges packets (GRO), which is switched on.
func (h *Host) ReceiveByThreads(name string) (ids []int, err error) {
	l, err := h.link.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("find %s of %s: %w", name, h.Name, err)
	}
	if err := h.SetFeature(name, "rx-gro", true); err != nil {
		return nil, err
	}
	if err := h.Sysfs("class/net/"+name+"/threaded", "1"); err != nil {
		return nil, fmt.Errorf("receive by threads (Linux 5.12): %w", err)
	}
	err = h.Do(func() error {
		ids, err = napiThreads(l.Attrs().Index)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the threads that receive for %s of %s (Linux 6.8): %w", name, h.Name, err)
	}
	return ids, nil
}

// The generic netlink family netdev (include/uapi/linux/netdev.h).
const (
	napiGet     = 11 // NETDEV_CMD_NAPI_GET
	napiIfindex = 1  // NETDEV_A_NAPI_IFINDEX
	napiID      = 2  // NETDEV_A_NAPI_ID
	napiPID     = 4  // NETDEV_A_NAPI_PID
)

// napiThreads returns the threads of an interface of this thread's namespace by queue.
// Numbers of NAPI instances ascend as they are made, which is by queue.
func napiThreads(ifindex int) ([]int, error) {
	family, err := netlink.GenlFamilyGet("netdev")
	if err != nil {
		return nil, err
	}
	r := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_DUMP)
	// nl.Genlmsg leaves garbage in the two reserved bytes, which the kernel refuses.
	header := []byte{napiGet, 1, 0, 0}
	r.AddRawData(append(header, nl.NewRtAttr(napiIfindex, nl.Uint32Attr(uint32(ifindex))).Serialize()...))
	var found [][2]int // NAPI and thread
	err = dump(r, func(reply []byte) error {
		attrs, err := nl.ParseRouteAttr(reply[nl.SizeofGenlmsg:])
		if err != nil {
			return err
		}
		n := map[uint16]int{}
		for _, a := range attrs {
			if len(a.Value) == 4 {
				n[a.Attr.Type] = int(binary.NativeEndian.Uint32(a.Value))
			}
		}
		if n[napiPID] == 0 {
			return errors.New("a NAPI instance without a thread")
		}
		found = append(found, [2]int{n[napiID], n[napiPID]})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("there are none")
	}
	slices.SortFunc(found, func(a, b [2]int) int { return a[0] - b[0] })
	var ids []int
	for _, f := range found {
		ids = append(ids, f[1])
	}
	return ids, nil
}

// dump sends a request and has each reply read, up to the end. The requests' own
// Execute stops after the first: this family does not mark its replies as several.
func dump(r *nl.NetlinkRequest, read func(reply []byte) error) error {
	s, err := nl.Subscribe(unix.NETLINK_GENERIC)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Send(r); err != nil {
		return err
	}
	for {
		messages, _, err := s.Receive()
		if err != nil {
			return err
		}
		for _, m := range messages {
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return nil
			case unix.NLMSG_ERROR:
				return unix.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
			}
			if err := read(m.Data); err != nil {
				return err
			}
		}
	}
}
