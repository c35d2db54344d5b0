package wire

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/internal/lab"
)

// moderate has the interface look for frames at most every 50 µs, as the interrupts of
// a NIC are spaced. Else what a balancer sends would wake the sink frame by frame, at
// the balancer's expense.
func moderate(h *lab.Host) error {
	const path = "class/net/" + lab.Interface + "/"
	return errors.Join(h.Sysfs(path+"gro_flush_timeout", "50000"), h.Sysfs(path+"napi_defer_hard_irqs", "2"))
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
