package control

import (
	"net/netip"
	"slices"

	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/packet"
)

// transfers say where the replies of flows go after some neighbours have moved. MAC
// addresses are words, as [packet.MAC.Word] has them.
type transfers struct {
	left map[uint64]*departure // by the MAC address that was left
	home map[netip.Addr]uint64 // where each neighbour is
}

// departure is who has left a MAC address.
type departure struct {
	who []netip.Addr
	// beyond is where the replies go now to clients that are not on the link themselves,
	// of IPv4 and of IPv6; 0: to the same address, since somebody else may be their router.
	beyond [2]uint64
}

// newTransfers returns what moves amount to, by where everybody is now. One who is back
// has not moved.
func newTransfers(moves []egress.Move, s *egress.Snapshot) *transfers {
	t := &transfers{left: map[uint64]*departure{}, home: make(map[netip.Addr]uint64, len(s.Neighbours))}
	for a, mac := range s.Neighbours {
		t.home[a] = word(mac)
	}
	for _, m := range moves {
		mac := word(m.From)
		if t.home[m.Addr] == mac {
			continue
		}
		if t.left[mac] == nil {
			t.left[mac] = &departure{}
		}
		t.left[mac].who = append(t.left[mac].who, m.Addr)
	}
	routers, neighbours := [2]hosts{newHosts(), newHosts()}, [2]hosts{newHosts(), newHosts()}
	for _, g := range s.Gateways {
		for f, serves := range [2]bool{g.IPv4, g.IPv6} {
			if mac := word(g.MAC); serves && mac != 0 {
				routers[f].add(g.Addr, mac)
			}
		}
	}
	for a, mac := range t.home {
		neighbours[family(a)].add(a, mac)
	}
	for mac, d := range t.left {
		for f := range d.beyond {
			if d.beyond[f] = routers[f].heir(d.who, mac); d.beyond[f] == 0 {
				d.beyond[f] = neighbours[f].heir(d.who, mac)
			}
		}
	}
	return t
}

// hosts are some that may be others' router.
type hosts struct {
	at   map[netip.Addr]uint64
	held map[uint64]bool // MAC addresses
}

func newHosts() hosts { return hosts{map[netip.Addr]uint64{}, map[uint64]bool{}} }

func (h *hosts) add(a netip.Addr, mac uint64) { h.at[a], h.held[mac] = mac, true }

// heir returns where those of the hosts are now who have left the MAC address; 0 if there
// are none, if they went different ways, or if another one is still there.
func (h *hosts) heir(who []netip.Addr, mac uint64) (heir uint64) {
	if h.held[mac] {
		return 0
	}
	for _, a := range who {
		switch at := h.at[a]; {
		case at == 0:
		case heir != 0 && heir != at:
			return 0
		default:
			heir = at
		}
	}
	return heir
}

// to returns where replies to a client go that went to mac.
func (t *transfers) to(client packet.Addr, mac uint64) uint64 {
	d := t.left[mac]
	if d == nil {
		return mac
	}
	a := client.Netip()
	at, known := t.home[a]
	switch {
	case known && at == mac: // it shares the address with one who has moved, and has not
		return mac
	case known && slices.Contains(d.who, a):
		return at
	case d.beyond[family(a)] != 0:
		return d.beyond[family(a)]
	}
	return mac
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// word is a MAC address as the engine has it.
func word(mac [6]byte) uint64 {
	m := packet.MAC(mac)
	return m.Word()
}
