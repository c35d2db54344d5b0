package balancer

import (
	"cmp"
	"net/netip"

	"github.com/afxlb/afxlb/internal/packet"
)

// TunnelTo returns the tunnel by which packets of s go to the backend at an address, with
// the source that [ServiceSpec.TunnelSource] names. ok is false if they go as they are.
func (s *ServiceSpec) TunnelTo(backend, own netip.Addr) (c packet.TunnelConfig, ok bool) {
	if !s.Mode.Traits().Encapsulates {
		return c, false
	}
	c = packet.TunnelConfig{
		Source: s.TunnelSource(backend, own), Destination: backend, Inner6: s.Address.Is6(),
		Encapsulation: packet.EncapIP, Port: s.GUE.Port, Checksum: s.GUE.Checksum,
	}
	switch {
	case s.Mode == GRE:
		c.Encapsulation = packet.EncapGRE
	case s.Mode == GUE && s.GUE.Variant == 0:
		c.Encapsulation = packet.EncapGUE
	case s.Mode == GUE:
		c.Encapsulation = packet.EncapUDP
	}
	return c, true
}

// TunnelSource returns where packets in a tunnel to a backend come from: what the user says,
// or the machine's own address towards it; an invalid one if neither is there.
func (s *ServiceSpec) TunnelSource(backend, own netip.Addr) netip.Prefix {
	for _, p := range s.TunnelSources {
		if p.Addr().Is4() == backend.Is4() {
			return p
		}
	}
	if !own.IsValid() || own.Is4() != backend.Is4() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(own, own.BitLen())
}

// Tunnel is what a worker needs in order to send packets in a tunnel.
type Tunnel struct {
	packet.Tunnel
	Room int // how long a packet inside may be; 0: not known

	// Where there is one way, as in the link of the backend's hop:

	Port uint8
	Tags packet.Tags
	Lead int // all that is in front of the packet inside, in bytes
}

// tunnel adds a tunnel by a link, or by the several ways where there are some, and returns
// its index.
func (t *Table) tunnel(c *packet.TunnelConfig, by Link, ways []Way) uint32 {
	one := Tunnel{Tunnel: packet.NewTunnel(c), Port: by.Port, Tags: by.Tags}
	one.Lead = by.Tags.EthernetLen() + one.Len()
	one.fit(t, by)
	for i := range ways {
		one.fit(t, ways[i].Link)
	}
	t.Tunnels = append(t.Tunnels, one)
	return uint32(len(t.Tunnels) - 1)
}

// fit has what goes in the tunnel fit into a link.
func (one *Tunnel) fit(t *Table, by Link) {
	mtu := cmp.Or(int(by.MTU), t.Ports[by.Port].MTU)
	if room := mtu - one.Len(); mtu != 0 && (one.Room == 0 || room < one.Room) {
		one.Room = max(room, 1)
	}
}
