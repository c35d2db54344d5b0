package egress

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Hop is the way to one address.
type Hop struct {
	OnLink bool       // the address itself is the next hop
	Via    netip.Addr // next hop, maybe of the other family (RFC 8950); invalid: no route leads by a port
	Device int        // number of the interface that the route is by: a port, or one above
	Known  bool       // MAC and Link are those to use

	// MAC and Link are, if not Known, the last that were, or zero.

	MAC  [6]byte
	Link Link

	Source [6]byte // of the frames that go there
	MTU    int     // of the route, or the least of the interfaces down to the port

	Weight int // of the next hop, among several of a route
	// Why says what is wrong, for people: no route leads by a port, or the kernel can't ask
	// for Via. Empty: nothing is, but that nobody may answer.
	Why string
	// Asked is since when Via has been asked for in vain; zero if Known, or if there is
	// no Via. The time starts anew when the first port comes up.
	Asked time.Time

	limit   int    // MTU of the route; 0: none
	refused string // why the kernel can't ask
}

// Snapshot is all that is known at one moment. It is never changed once made.
type Snapshot struct {
	Named []string // what is served: interfaces, and bonds for their slaves
	Ports []Port   // by number
	Bonds []Bond   // of those that are named
	// LinkUp tells whether any port has a carrier. While none has, the hops stay as they
	// were, but that those whose entry the kernel has dropped are not Known: the routes that
	// it takes away with the link come back with it.
	LinkUp  bool
	LinkWhy string // why none has, for people
	Hops    map[netip.Addr]Hop
	// Ways are all next hops by ports, for the addresses whose route has several. Hops has
	// one of them that is Known, if any is.
	Ways map[netip.Addr][]Hop
	// Own is by address the machine's own one that it would send from, if it can.
	Own       map[netip.Addr]netip.Addr
	Local     []netip.Addr // the machine's own addresses, on all interfaces, sorted
	Ephemeral PortRange    // that the kernel gives to the machine's own connections
	// Gateways are the routers that are reached by a port, sorted.
	Gateways []Gateway
	// Neighbours is where all are that the kernel knows, or has known, and that are reached
	// by a port. That one has come is no change that is told; [Watcher.Moves] tells of
	// those that have moved.
	Neighbours map[Neighbour]Place
}

// equal reports whether nothing that anybody acts on differs.
func (s *Snapshot) equal(o *Snapshot) bool {
	return slices.EqualFunc(s.Ports, o.Ports, Port.equal) && slices.EqualFunc(s.Bonds, o.Bonds, Bond.equal) && s.LinkUp == o.LinkUp && s.LinkWhy == o.LinkWhy &&
		maps.Equal(s.Hops, o.Hops) && maps.Equal(s.Own, o.Own) && maps.EqualFunc(s.Ways, o.Ways, slices.Equal) && slices.Equal(s.Local, o.Local) &&
		slices.Equal(s.Gateways, o.Gateways) && s.Ephemeral == o.Ephemeral
}
