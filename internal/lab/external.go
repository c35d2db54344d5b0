package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// addTap makes a TAP on a host: the machine's end of an emulator's network card. One of
// several queues has as many as the emulator opens. It stays until the host is closed.
func (h *Host) addTap(name string, queues int) error {
	return h.Do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("make TAP %s on %s: open /dev/net/tun: %w", name, h.Name, err)
		}
		defer unix.Close(fd)
		request, err := unix.NewIfreq(name)
		if err != nil {
			return fmt.Errorf("make TAP %s on %s: %w", name, h.Name, err)
		}
		flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if queues > 1 { // who opens it must want several, or one, as it was made
			flags |= unix.IFF_MULTI_QUEUE
		}
		request.SetUint16(flags)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return fmt.Errorf("make TAP %s on %s: %w", name, h.Name, err)
		}
		if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
			return fmt.Errorf("keep TAP %s on %s: %w", name, h.Name, err)
		}
		return nil
	})
}

// AddTap gives the switch a port that is a TAP, for a network card, with so many queues,
// of a virtual machine that is started on [Lab.Switch]: the balancer, with
// [Options].External.
//
// Packets get there as a NIC would see them: senders finish them first.
func (l *Lab) AddTap(name string, queues int) error { return l.addTapTo(l.fabric, name, queues) }

// AddInnerTap is AddTap for the link that the backends are on, with [Options].Inner.
func (l *Lab) AddInnerTap(name string, queues int) error { return l.addTapTo(l.inner, name, queues) }

func (l *Lab) addTapTo(bridge netlink.Link, name string, queues int) error {
	if err := l.Switch.addTap(name, queues); err != nil {
		return err
	}
	tap, err := l.Switch.link.LinkByName(name)
	if err == nil {
		err = l.Switch.link.LinkSetMaster(tap, bridge)
	}
	if err != nil {
		return fmt.Errorf("make TAP %s a port of the switch: %w", name, err)
	}
	if err := l.Switch.setUp(name); err != nil {
		return err
	}
	// An emulator sets its TAP's offloads as its guest wants them, so it is no use to
	// switch them off there.
	var errs []error
	for _, h := range append(append([]*Host{}, l.Clients...), l.Backends...) {
		errs = append(errs, h.noOffload(Interface))
	}
	return errors.Join(errs...)
}

// BalancerPrefixes returns the balancer's own addresses, each with its network's mask.
func BalancerPrefixes() []netip.Prefix { return inBoth(gateway) }
