package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// addTap makes a TAP on a host: the machine's end of an emulator's network card, with as
// many queues as the emulator opens. It stays until the host is closed.
func (h *Host) addTap(name string) error {
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
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | unix.IFF_MULTI_QUEUE)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
			return fmt.Errorf("make TAP %s on %s: %w", name, h.Name, err)
		}
		if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
			return fmt.Errorf("keep TAP %s on %s: %w", name, h.Name, err)
		}
		return nil
	})
}

// AddTap gives the switch a port that is a TAP, for the network card of a virtual machine
// that is started on [Lab.Switch]. With [Options].External that is the balancer's.
//
// Packets get there as a NIC would see them: senders finish them first.
func (l *Lab) AddTap(name string) error {
	if err := l.Switch.addTap(name); err != nil {
		return err
	}
	tap, err := l.Switch.link.LinkByName(name)
	if err == nil {
		err = l.Switch.link.LinkSetMaster(tap, l.fabric)
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
		errs = append(errs, h.Do(func() error { return noOffload(Interface) }))
	}
	return errors.Join(errs...)
}

// BalancerPrefixes returns the balancer's own addresses, each with its network's mask.
func BalancerPrefixes() (own []netip.Prefix) {
	for _, net := range []netip.Prefix{clients4, clients6, backends4, backends6} {
		own = append(own, in(net, gateway))
	}
	return own
}
