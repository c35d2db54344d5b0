// Package punt gives packets back to the kernel that the steering program took from it
// and that turn out to be nobody's flow: what a backend sends from a service's port for
// reasons of its own. The kernel has them as if they had never been taken: it routes
// them on, filters them and translates them, or delivers them here.
//
// The way back is a TAP device of the balancer's own with a queue for each worker, as it
// is that of DPDK's exception path and of VPP's punt: what is written to it is received
// by it (tun_get_user in drivers/net/tun.c). It is gone when its descriptors are closed,
// by whatever end of the process; if somebody else takes it away, it is made anew.
package punt

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Device is the way back to the kernel for what comes by one interface. The zero value
// leads nowhere: it forwards nothing and takes nothing.
type Device struct {
	name      string
	mac       [6]byte
	queues    []int // descriptors
	obstacles []string
	forwards  [2]atomic.Bool // IPv4, IPv6
	follower  *follower
}

// Open makes the device for packets that come by an interface, with at most so many
// queues, in the calling thread's network namespace. What stands against it is no error,
// since nothing else depends on it: [Device.Obstacles] says what it is.
func Open(served string, queues int) *Device {
	d := &Device{}
	if err := d.open(served, queues); err != nil {
		_ = d.Close() // of what was opened for nothing
		return &Device{obstacles: []string{err.Error()}}
	}
	return d
}

func (d *Device) open(served string, queues int) (err error) {
	if d.queues, err = openQueues(queues); err != nil {
		return err
	}
	d.follower, err = follow(d, served)
	return err
}

// dummy is the device's address, the one for those that have none (RFC 7600, 4.8). As long
// as any reverse path filter is on, the kernel takes nothing from an interface without an
// address (fib_validate_source in net/ipv4/fib_frontend.c). Of the host's scope, it is
// nobody's source.
var dummy = netlink.Addr{
	IPNet: &net.IPNet{IP: net.IPv4(192, 0, 0, 8), Mask: net.CIDRMask(32, 32)},
	Scope: unix.RT_SCOPE_HOST,
}

// make makes the device, which is not there, and sets it up, such that it asks for nothing
// and tells nobody of itself. It returns its index.
func (d *Device) make(links *netlink.Handle, served string) (ifindex int, err error) {
	if err := d.attach(); err != nil {
		return 0, err
	}
	link, err := links.LinkByName(d.name)
	if err != nil {
		return 0, fmt.Errorf("find %s: %w", d.name, err)
	}
	if d.mac == [6]byte{} { // else workers go by it
		copy(d.mac[:], link.Attrs().HardwareAddr)
	}
	const none = 1 // IN6_ADDR_GEN_MODE_NONE
	for _, step := range []func() error{
		func() error { return links.LinkSetHardwareAddr(link, d.mac[:]) },
		func() error {
			return links.LinkSetAlias(link, "afxlb gives packets of "+served+" back to the kernel")
		},
		func() error { return links.LinkSetARPOff(link) },
		func() error { return links.LinkSetIP6AddrGenMode(link, none) },
		func() error { a := dummy; return links.AddrAdd(link, &a) },
		func() error { return links.LinkSetUp(link) },
	} {
		if err := step(); err != nil {
			return 0, fmt.Errorf("set up %s: %w", d.name, err)
		}
	}
	return link.Attrs().Index, nil
}

// NewFake returns a device that writes to these descriptors, which it closes in the end,
// and whose kernel forwards or does not.
func NewFake(mac [6]byte, forwards bool, queues ...int) *Device {
	d := &Device{name: "fake", mac: mac, queues: queues}
	for i := range d.forwards {
		d.forwards[i].Store(forwards)
	}
	return d
}

// Copy returns a device that forwards what d does now, and whose packets nobody gets: it writes to
// /dev/null what d takes.
func (d *Device) Copy() (*Device, error) {
	own := &Device{name: "copy", mac: d.mac}
	if len(d.queues) > 0 {
		fd, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open /dev/null: %w", err)
		}
		own.queues = []int{fd}
	}
	for i := range d.forwards {
		own.forwards[i].Store(d.forwards[i].Load())
	}
	return own, nil
}

// Name returns the device's name; empty if there is none.
func (d *Device) Name() string { return d.name }

// Obstacles says what stands against giving packets back, for people. None is added
// later.
func (d *Device) Obstacles() []string { return d.obstacles }

// Forwards reports whether the kernel passes on packets of IPv4, or of IPv6, that come
// by the interface and are not for this machine. It follows the machine's settings; any
// thread may ask.
func (d *Device) Forwards(ipv6 bool) bool {
	if ipv6 {
		return d.forwards[1].Load()
	}
	return d.forwards[0].Load()
}

// Write has the kernel receive an Ethernet frame without VLAN tags, and reports whether
// it took it. The frame's destination becomes the device, or the kernel would take it for
// somebody else's. The kernel is done with the frame when Write returns: as far as it
// forwards it, in the calling thread. Threads with queues of their own do not meet there;
// a queue beyond those that there are is another one's, too.
func (d *Device) Write(queue int, frame []byte) bool {
	if len(d.queues) == 0 || len(frame) < len(d.mac) {
		return false
	}
	copy(frame, d.mac[:])
	_, err := unix.Write(d.queues[queue%len(d.queues)], frame)
	return err == nil
}

// Close takes the device away. No worker may write any more.
func (d *Device) Close() error {
	if d.follower != nil {
		d.follower.close()
	}
	var errs []error
	for _, fd := range d.queues {
		errs = append(errs, unix.Close(fd))
	}
	d.queues = nil
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", d.name, err)
	}
	return nil
}
