package egress

import (
	"net/netip"

	"github.com/afxlb/afxlb/internal/packet"
)

// Link is a way to and from the wire.
type Link struct {
	Port uint8 // index into the Snapshot's Ports
	Tags packet.Tags
}

// Place is where frames go: to a MAC address on a link.
type Place struct {
	MAC  [6]byte
	Link Link
}

// Neighbour is an address as the kernel's neighbour tables have it: the same address is
// another machine by another interface.
type Neighbour struct {
	Device int // number of the interface, a port or one above
	Addr   netip.Addr
}
