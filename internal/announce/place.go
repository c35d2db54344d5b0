package announce

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// link is a device, as far as it matters for addresses.
type link struct {
	name                  string
	index, master, parent int // 0: none
	kind                  string
	mac                   [6]byte
	up, carrier           bool
	arp                   bool // it is an Ethernet that resolves addresses
}

// links returns all of the network namespace of the calling thread.
func links() ([]link, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the machine's interfaces: %w", err)
	}
	list := make([]link, len(all))
	for i, l := range all {
		a := l.Attrs()
		list[i] = link{
			name: a.Name, index: a.Index, master: a.MasterIndex, parent: a.ParentIndex, kind: l.Type(), up: a.Flags&net.FlagUp != 0,
			carrier: a.OperState == netlink.OperUp || a.OperState == netlink.OperUnknown,
			arp:     a.EncapType == "ether" && a.Flags&net.FlagLoopback == 0 && a.RawFlags&noARP == 0 && len(a.HardwareAddr) == 6,
		}
		copy(list[i].mac[:], a.HardwareAddr)
	}
	return list, nil
}

const noARP = 0x80 // IFF_NOARP

// place returns the device for an address: of those by which the ports' packets reach the
// kernel the one that has an address in a's network, the narrowest if there are several; or,
// if nobody has and there is only one device, that. An error says what to do instead.
func place(a netip.Addr, ports []string, all []link, own []address) (*link, error) {
	candidates, bases := above(ports, all)
	var best *link
	bits := -1
	for _, c := range candidates {
		for i := range own {
			if o := &own[i]; o.device == c.index && o.mark == 0 && !o.IsSingleIP() && o.Contains(a) && o.Bits() > bits {
				best, bits = c, o.Bits()
			}
		}
	}
	switch {
	case best != nil:
	case len(bases) == 1:
		best = bases[0]
	case len(bases) == 0:
		return nil, fmt.Errorf("no interface is there to hold %v", a)
	default:
		return nil, fmt.Errorf("none of %s has an address in the network of %v, so that it is not known which is to hold it: give the right one such an address, or take announce: local",
			names(candidates), a)
	}
	switch {
	case !best.arp:
		return nil, fmt.Errorf("%s, where %v would be, is no Ethernet that resolves addresses: take announce: local", best.name, a)
	case !best.up:
		return nil, fmt.Errorf("%s, where %v would be, is down (ip link set %[1]s up)", best.name, a)
	}
	return best, nil
}

// above returns the devices that have packets of the ports: these, and what is above them.
// One that is a bridge's or bond's has none of its own. Of them, bases are those that have
// packets as they come, without a tag.
func above(ports []string, all []link) (list, bases []*link) {
	type step struct {
		*link
		plain bool
	}
	var todo []step
	seen := map[int]bool{}
	add := func(l *link, plain bool) {
		if !seen[l.index] {
			seen[l.index] = true
			todo = append(todo, step{l, plain})
		}
	}
	for i := range all {
		if slices.Contains(ports, all[i].name) {
			add(&all[i], true)
		}
	}
	for len(todo) > 0 {
		l := todo[0]
		todo = todo[1:]
		enslaved := false
		for i := range all {
			switch o := &all[i]; {
			case o.index == l.master && slices.Contains([]string{"bond", "bridge", "team"}, o.kind):
				enslaved = true
				add(o, l.plain)
			case o.parent == l.index && slices.Contains([]string{"vlan", "macvlan"}, o.kind):
				add(o, false)
			}
		}
		if !enslaved {
			list = append(list, l.link)
			if l.plain {
				bases = append(bases, l.link)
			}
		}
	}
	return list, bases
}

func names(list []*link) string {
	var all []string
	for _, l := range list {
		all = append(all, l.name)
	}
	return strings.Join(all, ", ")
}
