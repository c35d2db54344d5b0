package punt

import (
	"cmp"
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

// Possible says why there can be no device on this machine; nil if there can. It makes
// none.
func Possible() error {
	fd, err := openClone()
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// openClone opens what is no device's queue yet.
func openClone() (fd int, err error) {
	if fd, err = unix.Open(clone, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
		return fd, fmt.Errorf("open %s: %w", clone, err)
	}
	return fd, nil
}

// openQueues opens at most n queues, which are not a device's yet.
func openQueues(n int) (queues []int, err error) {
	for range min(n, maxQueues) {
		fd, err := openClone()
		if err != nil {
			return queues, err
		}
		queues = append(queues, fd)
	}
	return queues, nil
}

// attach makes the device of its queues; under the name that it had if it was there before:
// who deletes a device leaves its queues open (tun_detach_all in drivers/net/tun.c). Its
// hardware address is of the kernel's making and not the served interface's: programs that
// configure networks find interfaces by that.
func (d *Device) attach() error {
	for _, fd := range d.queues {
		name := cmp.Or(d.name, pattern)
		request, err := unix.NewIfreq(name)
		if err != nil {
			return fmt.Errorf("name a TAP device %s: %w", name, err)
		}
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return fmt.Errorf("make TAP device %s: %w", name, err)
		}
		if d.name == "" {
			d.name = request.Name()
		}
	}
	return nil
}
