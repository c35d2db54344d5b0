package punt

import (
	"fmt"

	"golang.org/x/sys/unix"
)

const (
	clone = "/dev/net/tun"
	// pattern has the kernel number the devices: there is one for each interface of each
	// balancer in a network namespace.
	pattern = "afxlb-punt%d"
	// maxQueues is what the driver has at most (MAX_TAP_QUEUES in drivers/net/tun.c).
	maxQueues = 256
)

// openQueues makes the device with at most n queues. Its hardware address is of the
// kernel's making and not the served interface's: programs that configure networks find
// interfaces by that.
func (d *Device) openQueues(n int) error {
	name := pattern
	for range min(n, maxQueues) {
		fd, err := unix.Open(clone, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", clone, err)
		}
		d.queues = append(d.queues, fd)
		request, err := unix.NewIfreq(name)
		if err != nil {
			return fmt.Errorf("name a TAP device %s: %w", name, err)
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return fmt.Errorf("make TAP device %s: %w", name, err)
		}
		name = request.Name()
		d.name = name
	}
	return nil
}
