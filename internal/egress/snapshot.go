package egress

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Hop is the way to one address.
type Hop struct {
	OnLink bool       // the address itself is the next hop, and its route is by the interface
	Via    netip.Addr // next hop, maybe of the other family (RFC 8950); invalid: there is no route by the interface
	Known  bool       // MAC is the one to use
	MAC    [6]byte    // if not Known, the last one that was, or zero

	// Why says what is wrong, for people: there is no route by the interface, or the
	// kernel can't ask for Via. Empty: nothing is, but that nobody may answer.
	Why string
	// Asked is since when Via has been asked for in vain; zero if Known, or if there is
	// no Via. The time starts anew when the link comes up.
	Asked time.Time
}

// Snapshot is all that is known at one moment. It is never changed once made.
type Snapshot struct {
	Gone    bool // the interface was removed; the rest is from before
	Ifindex int
	// LinkUp tells whether there is a carrier. While there is none, the hops stay as
	// they were, but that those whose entry the kernel has dropped are not Known: the
	// routes that it takes away with the link come back with it.
	LinkUp  bool
	LinkWhy string // why there is none, for people
	MAC     [6]byte
	Hops    map[netip.Addr]Hop
	Local   []netip.Addr // the machine's own addresses, on all interfaces, sorted
	// MACs are those by which a frame on the interface is this machine's: MAC first, then,
	// sorted, those of the devices above and below it that are up. None: no Ethernet.
	MACs      [][6]byte
	Ephemeral Ports // that the kernel gives to the machine's own connections
	// Gateways are the routers on the interface, sorted by address.
	Gateways []Gateway
	// Neighbours are the MAC addresses of all that the kernel knows on the interface, or
	// has known. That one has come is no change that is told; [Watcher.Moves] tells of
	// those that have moved.
	Neighbours map[netip.Addr][6]byte
}

// equal reports whether nothing that anybody acts on differs.
func (s *Snapshot) equal(o *Snapshot) bool {
	return s.Gone == o.Gone && s.Ifindex == o.Ifindex && s.LinkUp == o.LinkUp && s.LinkWhy == o.LinkWhy && s.MAC == o.MAC &&
		maps.Equal(s.Hops, o.Hops) && slices.Equal(s.Local, o.Local) && slices.Equal(s.Gateways, o.Gateways) &&
		slices.Equal(s.MACs, o.MACs) && s.Ephemeral == o.Ephemeral
}
