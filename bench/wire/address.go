package wire

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/bench/traffic"
	"github.com/afxlb/afxlb/internal/lab"
)

// Backends is how many backends there are: package traffic's first ones. They are all
// at the generator.
const Backends = 8

var families = []traffic.Family{traffic.IPv4, traffic.IPv6}

// prefix is the length of the backends' network.
func prefix(f traffic.Family) int {
	if f == traffic.IPv4 {
		return 24
	}
	return 64
}

// address gives the balancer an address in the backends' networks, and tells it their
// MAC addresses: nobody would answer its questions.
func (w *Wire) address() error {
	l, err := w.Balancer.Netlink().LinkByIndex(w.near.index)
	if err != nil {
		return fmt.Errorf("find the balancer's interface: %w", err)
	}
	for _, f := range families {
		own := f.Backend(0).AsSlice()
		own[len(own)-1] = 1
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: own, Mask: net.CIDRMask(prefix(f), 8*len(own))}, Flags: unix.IFA_F_NODAD}
		if err := w.Balancer.Netlink().AddrAdd(l, addr); err != nil {
			return fmt.Errorf("give %s to the balancer: %w", addr.IPNet, err)
		}
	}
	return w.neighbours((*netlink.Handle).NeighSet)
}

// Forget takes the backends' MAC addresses away from the balancer: it can receive, and
// has nowhere to send to.
func (w *Wire) Forget() error { return w.neighbours((*netlink.Handle).NeighDel) }

func (w *Wire) neighbours(do func(*netlink.Handle, *netlink.Neigh) error) error {
	for _, f := range families {
		for i := range Backends {
			n := &netlink.Neigh{LinkIndex: w.near.index, State: netlink.NUD_PERMANENT, IP: f.Backend(i).AsSlice(), HardwareAddr: w.far.mac}
			if err := do(w.Balancer.Netlink(), n); err != nil {
				return fmt.Errorf("set the MAC address of backend %s on %s of %s: %w", f.Backend(i), lab.Interface, w.Balancer.Name, err)
			}
		}
	}
	return nil
}
