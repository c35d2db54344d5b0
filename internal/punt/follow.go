package punt

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// follower keeps a device's settings like the served interface's, which an administrator
// may change at any time.
type follower struct {
	device         *Device
	kernel         *kernel
	served, punted int // interfaces
	changes        *nl.NetlinkSocket
	closing, ended chan struct{}
}

// follow takes the served interface's settings over for d, the interface punted, once
// before it returns and from then on.
func follow(d *Device, served, punted int) (*follower, error) {
	f := &follower{device: d, served: served, punted: punted, closing: make(chan struct{}), ended: make(chan struct{})}
	var err error
	if f.kernel, err = newKernel(); err != nil {
		return nil, err
	}
	f.changes, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		f.kernel.close()
		return nil, fmt.Errorf("subscribe to changes of settings: %w", err)
	}
	if err := f.adopt(); err != nil {
		f.changes.Close()
		f.kernel.close()
		return nil, err
	}
	go f.run()
	return f, nil
}

// adopt reads what holds for the served interface and has it hold for the device.
func (f *follower) adopt() error {
	s, err := f.kernel.settings(f.served)
	if err != nil {
		return err
	}
	forwards, err := f.kernel.forwardsIPv6()
	if err != nil {
		return err
	}
	own, err := f.kernel.settings(f.punted)
	if err != nil {
		return err
	}
	values := map[int]uint32{ipv4RPFilter: looseRPFilter}
	for _, number := range likeServed {
		values[number] = of(s.ipv4, number)
	}
	if err := f.kernel.set(f.punted, values); err != nil {
		return err
	}
	f.device.forwards[0].Store(values[ipv4Forwarding] != 0)
	f.device.forwards[1].Store(forwards && of(own.ipv6, ipv6Disabled) == 0) // else nothing would tell of the loss
	return nil
}

// run adopts what changes until it is closed. What a notification says is of no interest,
// nor is that one was lost: the settings are read anew. Neither is an error of that: the
// served interface is gone, and the device about to go.
func (f *follower) run() {
	defer close(f.ended)
	for {
		_, _, _ = f.changes.Receive()
		select {
		case <-f.closing:
			return
		default:
			_ = f.adopt()
		}
	}
}

// obstacles says what of the interfaces' settings stands against giving packets back.
func (f *follower) obstacles(served netlink.Link) (list []string) {
	if index := served.Attrs().MasterIndex; index != 0 {
		name := fmt.Sprint("interface ", index)
		if master, err := netlink.LinkByIndex(index); err == nil {
			name = master.Attrs().Name
		}
		list = append(list, fmt.Sprintf("%s belongs to %s, which the packets will not come by", served.Attrs().Name, name))
	}
	was, err := f.kernel.settings(f.served)
	is, err2 := f.kernel.settings(f.punted)
	if err == nil && err2 == nil && of(was.ipv6, ipv6Disabled) == 0 && of(is.ipv6, ipv6Disabled) != 0 {
		list = append(list, fmt.Sprintf("IPv6 is disabled on new interfaces (net.ipv6.conf.default.disable_ipv6), and so on %s", f.device.name))
	}
	return list
}

func (f *follower) close() {
	close(f.closing)
	f.changes.Close()
	<-f.ended
	f.kernel.close()
}
