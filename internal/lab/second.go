package lab

import "fmt"

// second is the second balancer's host number in each network.
const second = 2

// AddSecond gives the switch one more host like the balancer, l.Second, with addresses of
// its own in the same networks: a router, or another balancer.
func (l *Lab) AddSecond(queues int) error {
	h, err := NewHost("second")
	if err != nil {
		return err
	}
	l.Second = h
	if err := l.plug(h, queues); err != nil {
		return err
	}
	if err := h.AddAddrs(Interface, inBoth(second)...); err != nil {
		return err
	}
	return l.Switch.noOffload(port(h))
}

// Flood makes a hub of the switch: each frame goes to every port. A switch does so with
// frames for a MAC address that it does not know, or has forgotten.
func (l *Lab) Flood() error {
	// What is as old as this is forgotten (br_fdb_update in net/bridge/br_fdb.c).
	if err := l.Switch.Sysfs(fmt.Sprintf("class/net/%s/bridge/ageing_time", l.fabric.Attrs().Name), "0"); err != nil {
		return err
	}
	return l.Switch.Sysfs(fmt.Sprintf("class/net/%s/bridge/flush", l.fabric.Attrs().Name), "1")
}
