package nic

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Slaves returns what of an interface is to be served, in the calling thread's network
// namespace: a bond's slaves, in the order in which the kernel has them, or itself. A bond's
// own device sees no frame before its slaves, whose sockets alone can take it. One that is
// not there is left to whoever looks for it.
func Slaves(name string) ([]string, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("ask for the slaves of %s: %w", name, err)
	}
	defer h.Close()
	master, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) || err == nil && master.Type() != "bond" {
		return []string{name}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for the slaves of %s: %w", name, err)
	}
	links, err := h.LinkList()
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("ask for the slaves of %s: %w", name, err)
	}
	return slaves(name, master.Attrs().Index, links)
}

func slaves(name string, master int, links []netlink.Link) (names []string, err error) {
	for _, l := range links {
		if l.Attrs().MasterIndex == master {
			names = append(names, l.Attrs().Name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s is a bond without slaves: there is nothing to serve", name)
	}
	return names, nil
}
