package punt

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// follower keeps a device there and up, and its settings like the served interface's: an
// administrator may change these at any time, and other programs meet a device that they
// do not know.
type follower struct {
	device         *Device
	kernel         *kernel
	links          *netlink.Handle
	served         netlink.Link
	punted         int // the device's index
	changes        *nl.NetlinkSocket
	closing, ended chan struct{}
}

// follow makes the device d for an interface and takes the settings over, once before it
// returns and from then on. What stands against it is noted in d.
func follow(d *Device, served string) (*follower, error) {
	f := &follower{device: d, closing: make(chan struct{}), ended: make(chan struct{})}
	if err := f.begin(served); err != nil {
		f.letGo()
		return nil, err
	}
	d.obstacles = f.obstacles()
	go f.run()
	return f, nil
}

func (f *follower) begin(served string) (err error) {
	if f.links, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	if f.kernel, err = newKernel(); err != nil {
		return err
	}
	if f.served, err = f.links.LinkByName(served); err != nil {
		return fmt.Errorf("find %s: %w", served, err)
	}
	f.changes, err = nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
	if err != nil {
		return fmt.Errorf("subscribe to changes of interfaces: %w", err)
	}
	return f.adopt()
}

// adopt has the device be there, and what holds for the served interface hold for it. It
// writes only what differs, or it would notify itself without end.
func (f *follower) adopt() error {
	if err := f.restore(); err != nil {
		return err
	}
	s, err := f.kernel.settings(f.served.Attrs().Index)
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
	want := map[int]uint32{ipv4RPFilter: looseRPFilter}
	for _, number := range likeServed {
		want[number] = of(s.ipv4, number)
	}
	if differ(own.ipv4, want) {
		if err := f.kernel.set(f.punted, want); err != nil {
			return err
		}
	}
	f.device.forwards[0].Store(want[ipv4Forwarding] != 0)
	f.device.forwards[1].Store(forwards && of(own.ipv6, ipv6Disabled) == 0) // else nothing would tell of the loss
	return nil
}

// restore makes the device if it is not there, and sets it up if it is down.
func (f *follower) restore() error {
	link, err := f.links.LinkByIndex(f.punted)
	switch {
	case f.punted == 0 || errors.As(err, new(netlink.LinkNotFoundError)):
		f.punted, err = f.device.make(f.links, f.served.Attrs().Name)
		return err
	case err != nil:
		return fmt.Errorf("look at %s: %w", f.device.name, err)
	case link.Attrs().Flags&net.FlagUp != 0:
		return nil
	}
	if err := f.links.LinkSetUp(link); err != nil {
		return fmt.Errorf("set up %s: %w", f.device.name, err)
	}
	return nil
}

// run adopts what changes until it is closed. What a notification says is of no interest,
// nor is that one was lost: all is read anew. Neither is an error of that: the served
// interface is gone, and the device about to go; or what is lost is counted, and told.
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
func (f *follower) obstacles() (list []string) {
	served := f.served.Attrs()
	if index := served.MasterIndex; index != 0 {
		name := fmt.Sprint("interface ", index)
		if master, err := f.links.LinkByIndex(index); err == nil {
			name = master.Attrs().Name
		}
		list = append(list, fmt.Sprintf("%s belongs to %s, which the packets will not come by", served.Name, name))
	}
	was, err := f.kernel.settings(served.Index)
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
	f.changes = nil
	f.letGo()
}

// letGo closes what was opened. Nobody else uses it any more.
func (f *follower) letGo() {
	if f.changes != nil {
		f.changes.Close()
	}
	if f.kernel != nil {
		f.kernel.close()
	}
	if f.links != nil {
		f.links.Close()
	}
}
