package contest

import (
	"time"

	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/internal/lab"
)

// receiveByThreads has a thread of the kernel receive for each queue of a host's
// interface, on these CPUs, and returns the threads' ids.
func receiveByThreads(h *lab.Host, cpus []int) ([]int, error) {
	ids, err := h.ReceiveByThreads(lab.Interface)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if err := peer.PinThread(id, cpus); err != nil {
			return nil, err
		}
	}
	return ids, nil
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
