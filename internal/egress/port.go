package egress

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// Port is a served interface, or a number that none has.
type Port struct {
	Name    string // empty: it is none's
	Ifindex int    // its number; 0: it is not there, and what is not said of that is from before
	Up      bool   // it has a carrier
	Why     string // why not, for people
	MAC     [6]byte
	MTU     int
	Standby bool // it is a bond's slave that takes no frames now
	// MACs are those by which a frame on the interface is this machine's: MAC first, then,
	// sorted, those of the devices above and below it that are up. None: no Ethernet.
	MACs [][6]byte
}

func (p Port) equal(o Port) bool {
	return p.Name == o.Name && p.Ifindex == o.Ifindex && p.Up == o.Up && p.Why == o.Why && p.MAC == o.MAC && p.MTU == o.MTU && p.Standby == o.Standby &&
		slices.Equal(p.MACs, o.MACs)
}

// readPorts returns the ports as the links have them. One that is there keeps its number,
// whatever it is called meanwhile; one that has gone is found by its name when it comes back.
// A bond itself, without slaves, is no port.
func readPorts(was []Port, links []netlink.Link) []Port {
	ports := slices.Clone(was)
	for i := range ports {
		p := &ports[i]
		if p.Name == "" {
			continue
		}
		at := slices.IndexFunc(links, func(l netlink.Link) bool { return p.Ifindex != 0 && l.Attrs().Index == p.Ifindex })
		if at < 0 {
			at = slices.IndexFunc(links, func(l netlink.Link) bool { return l.Attrs().Name == p.Name })
		}
		if at < 0 {
			p.Ifindex, p.Up, p.Why = 0, false, "the interface is not there"
			continue
		}
		if _, ok := links[at].(*netlink.Bond); ok {
			*p = Port{Name: p.Name, Why: "it is a bond without slaves"}
			continue
		}
		p.read(links[at], links)
	}
	return ports
}

// read makes p what its link is, among all links.
func (p *Port) read(l netlink.Link, links []netlink.Link) {
	a := l.Attrs()
	*p = Port{Name: p.Name, Ifindex: a.Index, MTU: a.MTU, Up: isUp(l), Standby: standsBy(l, links)}
	switch {
	case p.Up:
	case a.Flags&net.FlagUp == 0:
		p.Why = fmt.Sprintf("the interface is down (ip link set %s up)", a.Name)
	default:
		p.Why = "no carrier"
	}
	if p.MAC = macOf(l); p.MAC != [6]byte{} {
		p.MACs = owned(links, p)
	}
}

// isUp reports whether frames leave by an interface, as far as it knows.
func isUp(l netlink.Link) bool {
	state := l.Attrs().OperState
	return state == netlink.OperUp || state == netlink.OperUnknown
}

// macOf returns an interface's MAC address, or zero.
func macOf(l netlink.Link) [6]byte {
	if a := l.Attrs(); len(a.HardwareAddr) == 6 {
		return [6]byte(a.HardwareAddr)
	}
	return [6]byte{}
}

// anyUp tells whether any port has a carrier, and if not, why.
func anyUp(ports []Port) (up bool, why string) {
	var whys []string
	only := ""
	for i := range ports {
		p := &ports[i]
		if p.Up {
			return true, ""
		}
		if p.Name != "" {
			only = p.Why
			whys = append(whys, p.Name+": "+p.Why)
		}
	}
	if len(whys) == 1 {
		return false, only
	}
	return false, strings.Join(whys, "; ")
}
