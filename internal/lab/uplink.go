package lab

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Uplink sends frames of the caller's own making to the balancer, each by the queue that the
// caller names. It may be used by one goroutine at a time, and is closed with the switch.
type Uplink struct {
	in     *Injector
	queues int
}

// Uplink returns the switch's end of the balancer's cable, which has so many queues.
func (l *Lab) Uplink(queues int) (*Uplink, error) {
	in, err := l.Switch.Injector(port(l.Balancer))
	if err != nil {
		return nil, err
	}
	// Past the queueing discipline a packet socket sends by the queue of its CPU:
	// packet_pick_tx_queue of net/packet/af_packet.c.
	if err := unix.SetsockoptInt(in.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		return nil, fmt.Errorf("send past the queueing discipline of %s: %w", in.name, err)
	}
	return &Uplink{in, queues}, nil
}

// Send sends a frame that the balancer receives by the queue. It takes as many CPUs as
// there are queues.
func (u *Uplink) Send(queue int, frame []byte) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return fmt.Errorf("ask for the thread's CPUs: %w", err)
	}
	for cpu := queue; ; cpu += u.queues {
		if cpu > 1023 {
			return fmt.Errorf("send by queue %d of %d of %s: no CPU for it", queue, u.queues, u.in.name)
		}
		if all.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("move to the CPU of queue %d: %w", queue, err)
	}
	err := u.in.Inject(frame)
	if back := unix.SchedSetaffinity(0, &all); err == nil {
		err = back
	}
	return err
}

// Feed returns an injector of the switch's end of the balancer's cable: what it sends comes
// to the balancer at once, by the queue that the kernel chooses for it.
func (l *Lab) Feed() (*Injector, error) { return l.Switch.Injector(port(l.Balancer)) }
