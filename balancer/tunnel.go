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
	Tags packet.Tags // of the frames
	Room int         // how long a packet inside may be; 0: not known
}

// tunnel adds a tunnel by a link and returns its index.
func (t *Table) tunnel(c *packet.TunnelConfig, by Link) uint32 {
	one := Tunnel{Tunnel: packet.NewTunnel(c), Tags: by.Tags}
	if mtu := cmp.Or(int(by.MTU), t.Ports[by.Port].MTU); mtu != 0 {
		one.Room = max(mtu-one.Len(), 1)
	}
	t.Tunnels = append(t.Tunnels, one)
	return uint32(len(t.Tunnels) - 1)
}
