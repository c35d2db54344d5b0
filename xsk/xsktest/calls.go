package xsktest

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/xsk"
)

// calls is a Kernel as the socket sees it: the system calls, which are none of a
// test's business.
type calls Kernel

var _ xsk.Kernel = (*calls)(nil)

func (c *calls) Send() unix.Errno {
	k := (*Kernel)(c)
	if k.gone.Load() {
		return unix.ENXIO
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.answers) > 0 {
		errno := k.answers[0]
		k.answers = k.answers[1:]
		return errno
	}
	if k.down.Load() {
		return unix.ENETDOWN
	}
	if k.linux == ZeroCopy {
		return 0
	}
	return k.transmit()
}

func (c *calls) Wake() { c.stats.wakes.Add(1) }

func (c *calls) Poll(timeout time.Duration) bool {
	readable := func() bool { return c.rings.RX.Producer.Load() != c.rings.RX.Consumer.Load() }
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for !readable() {
		// A removed interface wakes, but has nothing: it is the caller who asks.
		select {
		case <-c.arrived:
			if c.gone.Load() {
				return readable()
			}
		case <-deadline.C:
			return readable()
		}
	}
	return true
}

func (c *calls) Error() unix.Errno { return unix.Errno(c.lastError.Swap(0)) }

func (c *calls) Statistics() (xsk.KernelStatistics, error) {
	return xsk.KernelStatistics{
		RxDropped:     c.stats.rxDropped.Load(),
		RxRingFull:    c.stats.rxRingFull.Load(),
		FillRingEmpty: c.stats.fillEmpty.Load(),
		TxRingEmpty:   c.stats.txEmpty.Load(),
	}, nil
}
