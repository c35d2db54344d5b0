package control

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/afxlb/afxlb/bench/child"
	"github.com/afxlb/afxlb/bench/peer"
	"github.com/afxlb/afxlb/internal/lab"
)

// backends returns the host that has the backends' addresses.
func (s *stage) backends() *lab.Host { return s.lab.Backends[0] }

// settle prepares the backends' host.
func (s *stage) settle() error {
	h := s.backends()
	// All services ask one server, at the same moment if the daemon is in a hurry.
	if err := peer.TuneEndpoint(h); err != nil {
		return err
	}
	// A host whose MAC address changes says so, as one does that takes over another's
	// addresses (arp_notify in the kernel's Documentation/networking/ip-sysctl.rst).
	if err := h.Sysctl("net/ipv4/conf/"+lab.Interface+"/arp_notify", "1"); err != nil {
		return err
	}
	for i := 1; i < s.scene.Addresses; i++ { // the lab has given it the first
		if err := s.hold(lab.BackendAddr(i)); err != nil {
			return err
		}
	}
	return nil
}

// hold gives the backends' host an address.
func (s *stage) hold(a netip.Addr) error {
	return s.address(a, "add", (*netlink.Handle).AddrAdd)
}

// lose takes an address from the backends' host.
func (s *stage) lose(a netip.Addr) error {
	return s.address(a, "remove", (*netlink.Handle).AddrDel)
}

func (s *stage) address(a netip.Addr, what string, change func(*netlink.Handle, netlink.Link, *netlink.Addr) error) error {
	h := s.backends()
	link, err := h.Netlink().LinkByName(lab.Interface)
	if err == nil {
		err = change(h.Netlink(), link, &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(32, 32)}})
	}
	if err != nil {
		return fmt.Errorf("%s address %s of %s: %w", what, a, h.Name, err)
	}
	return nil
}

// serve starts the backends' server and waits until it listens.
func (s *stage) serve(ctx context.Context) error {
	ctx, s.stopServer = context.WithCancel(ctx)
	task := Backends{CPUs: s.place.rest}
	for i := range s.scene.Addresses {
		task.Listen = append(task.Listen, netip.AddrPortFrom(lab.BackendAddr(i), backendPort))
	}
	ready := make(chan struct{})
	go func() {
		s.served <- s.backends().Do(func() error {
			return child.Run(ctx, BackendsTask, task, func(string) { close(ready) }, nil)
		})
	}()
	select {
	case <-ready:
		return nil
	case err := <-s.served:
		s.served <- err
		return fmt.Errorf("start the backends: %w", err)
	}
}

// deserted tells how the backends' server came to its end; nil while it serves.
func (s *stage) deserted() error {
	select {
	case err := <-s.served:
		s.served <- err
		return fmt.Errorf("the backends: %w", err)
	default:
		return nil
	}
}
