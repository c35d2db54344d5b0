package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/safchain/ethtool"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/internal/lab"
)

// receiveByThreads has the host's interface receive by threads of the kernel's, and
// returns their ids by queue. They stay, whatever XDP program comes and goes: GRO keeps
// a veth's NAPI instances alive.
func receiveByThreads(h *lab.Host, ifindex int) (ids []int, err error) {
	err = h.Do(func() error {
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
		return nil, fmt.Errorf("receive by threads (Linux 5.12): %w", err)
	}
	err = h.Do(func() error {
		ids, err = napiThreads(ifindex)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the threads that receive for %s (Linux 6.8): %w", h.Name, err)
	}
	return ids, nil
}

// moderate has the interface look for frames at most every 50 µs, as the interrupts of
// a NIC are spaced. Else what a balancer sends would wake the sink frame by frame, at
// the balancer's expense.
func moderate(h *lab.Host) error {
	const path = "class/net/" + lab.Interface + "/"
	return errors.Join(h.Sysfs(path+"gro_flush_timeout", "50000"), h.Sysfs(path+"napi_defer_hard_irqs", "2"))
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
	replies, err := r.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return nil, err
	}
	var found [][2]int // NAPI and thread
	for _, reply := range replies {
		attrs, err := nl.ParseRouteAttr(reply[nl.SizeofGenlmsg:])
		if err != nil {
			return nil, err
		}
		n := map[uint16]int{}
		for _, a := range attrs {
			if len(a.Value) == 4 {
				n[a.Attr.Type] = int(binary.NativeEndian.Uint32(a.Value))
			}
		}
		if n[napiPID] == 0 {
			return nil, errors.New("a NAPI instance without a thread")
		}
		found = append(found, [2]int{n[napiID], n[napiPID]})
	}
	slices.SortFunc(found, func(a, b [2]int) int { return a[0] - b[0] })
	var ids []int
	for _, f := range found {
		ids = append(ids, f[1])
	}
	if len(ids) == 0 {
		return nil, errors.New("there are none")
	}
	return ids, nil
}

// ReceiveOn moves the threads that receive for the balancer to these CPUs, by queue.
// Urgent ones come before everything else there, as interrupts do: what is to be received
// would else wait while a busy process uses its time up. Others are as a favoured
// process is, for whom receiving is all of the balancer.
func (w *Wire) ReceiveOn(cpus []int, urgent bool) error { return w.near.place(cpus, urgent) }

func (e *end) place(cpus []int, urgent bool) error {
	if len(cpus) < len(e.threads) {
		return fmt.Errorf("place the threads that receive for %s: there are CPUs %v for %d", e.host.Name, cpus, len(e.threads))
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: -20}
	if urgent {
		attr = unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 50}
	}
	for i, id := range e.threads {
		if err := peer.PinThread(id, cpus[i:i+1]); err != nil {
			return fmt.Errorf("place the threads that receive for %s: %w", e.host.Name, err)
		}
		if err := unix.SchedSetAttr(id, &attr, 0); err != nil {
			return fmt.Errorf("give priority to the threads that receive for %s: %w", e.host.Name, err)
		}
	}
	return nil
}

// Receiving returns the CPU time of the threads that receive for the balancer.
func (w *Wire) Receiving() (sum time.Duration, err error) {
	for _, id := range w.near.threads {
		t, err := peer.CPUOf(id)
		if err != nil {
			return 0, fmt.Errorf("ask for the CPU time of receiving: %w", err)
		}
		sum += t
	}
	return sum, nil
}
