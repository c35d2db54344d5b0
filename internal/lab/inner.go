package lab

import (
	"errors"
	"fmt"
	"net/netip"
)

// Inner is the name of the balancer's second interface, by which its backends are if
// [Options] say so. Clients and backends are not on one link then, and the balancer is the
// router between them.
const Inner = "eth1"

// innerPort is the switch's end of its cable.
const innerPort = "to-balancer-in"

// split reports whether clients and backends are on links of their own.
func (l *Lab) split() bool { return l.inner != l.fabric }

// PlugInner gives the balancer its second interface, at the start and after a test has
// removed it.
func (l *Lab) PlugInner(queues int) error {
	if err := connect(l.Switch, innerPort, l.Balancer, Inner, l.innerMAC, queues, l.inner.Attrs().Index); err != nil {
		return err
	}
	link, err := l.Balancer.link.LinkByName(Inner)
	if err != nil {
		return fmt.Errorf("find %s of the balancer: %w", Inner, err)
	}
	l.innerMAC = link.Attrs().HardwareAddr
	if err := l.Balancer.AddAddrs(Inner, in(backends4, gateway), in(backends6, gateway)); err != nil {
		return err
	}
	return l.Switch.noOffload(innerPort)
}

// SetInnerPort is SetPort for the balancer's second interface.
func (l *Lab) SetInnerPort(up bool) error {
	err := l.Switch.SetLink(innerPort, up)
	if err == nil && up {
		err = l.Balancer.awaitCarrier(Inner)
	}
	return err
}

// between returns by whom those of a network reach the ends of the other one: the balancer,
// or nobody if that is on the same link.
func (l *Lab) between(own netip.Prefix) netip.Addr {
	if l.split() {
		return nth(own, gateway)
	}
	return onLink
}

// SetInnerMTUs is SetMTUs for the balancer's second interface.
func (l *Lab) SetInnerMTUs(mtu int) error {
	return errors.Join(l.Switch.SetMTU(innerPort, mtu), l.Switch.SetMTU(l.inner.Attrs().Name, mtu), l.Balancer.SetMTU(Inner, mtu))
}
