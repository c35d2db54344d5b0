package egress

import (
	"slices"

	"github.com/vishvananda/netlink"
)

// MaxPorts is how many interfaces are served at most.
const MaxPorts = 8

// Who serves a bond serves its slaves, whichever those are: it sees no frame itself that they
// have not seen. They come and go, and keep their numbers while they are there.

// Bond is a bond that is named to be served.
type Bond struct {
	Name  string
	Ports []int  // by which it sends now, sorted
	Why   string // it sends by none
}

// members returns the names of the interfaces to serve, of which some are named, and some are
// a bond's slaves. A bond without any stands for itself.
func members(named []string, links []netlink.Link) (names []string) {
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range named {
		empty := true
		if b := bondNamed(name, links); b != nil {
			for _, l := range links {
				if l.Attrs().MasterIndex == b.Index {
					add(l.Attrs().Name)
					empty = false
				}
			}
		}
		if empty {
			add(name)
		}
	}
	return names
}

func bondNamed(name string, links []netlink.Link) *netlink.Bond {
	for _, l := range links {
		if b, ok := l.(*netlink.Bond); ok && b.Name == name {
			return b
		}
	}
	return nil
}

// Seat gives each of the names a number: the one that it has among the seats, or else the
// first that nobody has. Who is not among the names loses his, and his seat has no name then.
// For those that are left there is no room. The seats are not changed.
func Seat(seats, names []string) (now, left []string) {
	now = slices.Clone(seats)
	for i, name := range now {
		if !slices.Contains(names, name) {
			now[i] = ""
		}
	}
	for _, name := range names {
		if slices.Contains(now, name) {
			continue
		}
		switch i := slices.Index(now, ""); {
		case i >= 0:
			now[i] = name
		case len(now) < MaxPorts:
			now = append(now, name)
		default:
			left = append(left, name)
		}
	}
	return now, left
}

// seat returns the ports for what is named, as the links are, and those for which there is
// no room.
func seat(was []Port, named []string, links []netlink.Link) (ports []Port, left []string) {
	seats := make([]string, len(was))
	for i := range was {
		seats[i] = was[i].Name
	}
	seats, left = Seat(seats, members(named, links))
	for i, name := range seats {
		p := Port{Name: name}
		if i < len(was) && was[i].Name == name {
			p = was[i]
		}
		ports = append(ports, p)
	}
	return ports, left
}

// bonds returns those that are named, as they send.
func (t *tree) bonds(named []string, links []netlink.Link) (list []Bond) {
	for _, name := range named {
		b := bondNamed(name, links)
		if b == nil {
			continue
		}
		one := Bond{Name: name}
		var slaves []int
		if slaves, one.Why = t.senders(b); one.Why == "" {
			for _, i := range slaves {
				if port, ok := t.ports[i]; ok {
					one.Ports = append(one.Ports, int(port))
				}
			}
			slices.Sort(one.Ports)
		}
		list = append(list, one)
	}
	return list
}

// Exit returns the port by which a bond sends frames to mac, or why it does by none.
func (s *Snapshot) Exit(bond string, mac [6]byte) (port int, why string, ok bool) {
	i := slices.IndexFunc(s.Bonds, func(b Bond) bool { return b.Name == bond })
	if i < 0 {
		return 0, "", false
	}
	var best uint64
	b, found := &s.Bonds[i], false
	for _, p := range b.Ports {
		if score := score(s.Ports[p].Ifindex, mac[:]); !found || score > best {
			port, best, found = p, score, true
		}
	}
	return port, b.Why, true
}

func (b Bond) equal(o Bond) bool {
	return b.Name == o.Name && b.Why == o.Why && slices.Equal(b.Ports, o.Ports)
}
