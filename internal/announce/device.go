package announce

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// device is one of the balancer's own. It is a TUN device and not a dummy, though nothing is
// ever sent by it, because the kernel takes it away when its descriptor is closed.
type device struct {
	file  *os.File
	name  string
	index int
}

// openDevice makes a device, which must not be there yet, in the network namespace of the
// calling thread.
func openDevice(name string) (*device, error) {
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make %s: open %s: %w", name, path, err)
	}
	d := &device{file: os.NewFile(uintptr(fd), path), name: name}
	if err := d.attach(fd); err != nil {
		d.close()
		return nil, err
	}
	if err := d.setUp(); err != nil {
		d.close()
		return nil, fmt.Errorf("set up %s: %w", name, err)
	}
	return d, nil
}

// attach makes the descriptor's device.
func (d *device) attach(fd int) error {
	req, err := unix.NewIfreq(d.name)
	if err != nil {
		return fmt.Errorf("make %s: %w", d.name, err)
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
	switch err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); {
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.EINVAL): // the latter if it is of another kind (tun_set_iff in drivers/net/tun.c)
		return fmt.Errorf("there is a device %s that is not the balancer's own; remove it (ip link delete %[1]s): %w", d.name, err)
	case err != nil:
		return fmt.Errorf("make %s: %w", d.name, err)
	}
	return nil
}

func (d *device) setUp() error {
	links, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer links.Close()
	link, err := links.LinkByName(d.name)
	if err != nil {
		return err
	}
	d.index = link.Attrs().Index
	const none = 1 // IN6_ADDR_GEN_MODE_NONE
	// Without IPv6 there is no mode, and nothing else to be lost by it.
	_ = links.LinkSetIP6AddrGenMode(link, none)
	return errors.Join(links.LinkSetAlias(link, "afxlb has the addresses of services here"), links.LinkSetUp(link))
}

// close takes the device away, with its addresses.
func (d *device) close() { d.file.Close() }
