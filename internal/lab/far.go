package lab

import (
	"errors"
	"net/netip"
)

// FarInterface is the name of the balancer's second interface, that of [Lab.AddFar].
const FarInterface = "eth1"

// The network behind it.
var (
	far4 = netip.MustParsePrefix("10.0.1.0/24")
	far6 = netip.MustParsePrefix("2001:db8:11::/64")
)

// FarAddr returns the IPv4 address of Lab.Far.
func FarAddr() netip.Addr { return nth(far4, firstEnd) }

// FarAddr6 returns the IPv6 address of Lab.Far.
func FarAddr6() netip.Addr { return nth(far6, firstEnd) }

// AddFar gives the balancer a second cable and a backend at the end of it, l.Far: one
// that no frame by [Interface] reaches. The balancer is its gateway, as it is of the
// others.
//
//	balancer  eth1: 10.0.1.1, 2001:db8:11::1
//	   │
//	  far     eth0: 10.0.1.11, 2001:db8:11::11
func (l *Lab) AddFar() error {
	h, err := NewHost("far")
	if err != nil {
		return err
	}
	l.Far = h
	if err := Connect(l.Balancer, FarInterface, h, Interface, 1); err != nil {
		return err
	}
	return errors.Join(
		l.Balancer.AddAddrs(FarInterface, in(far4, gateway), in(far6, gateway)),
		h.AddAddrs(Interface, in(far4, firstEnd), in(far6, firstEnd)),
		h.addRoute(clients4, nth(far4, gateway)), h.addRoute(clients6, nth(far6, gateway)),
	)
}
