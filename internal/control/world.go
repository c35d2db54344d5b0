package control

import (
	"net/netip"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/packet"
)

const _ = uint(balancer.MaxPorts - egress.MaxPorts) // each port has a place in tables

// What tables are told of ports, ways and neighbours, in the packet path's terms.

// ports returns the served interfaces.
func (o *observed) ports() []balancer.Port {
	list := make([]balancer.Port, len(o.snapshot.Ports))
	for i := range list {
		p := &o.snapshot.Ports[i]
		list[i] = balancer.Port{MAC: p.MAC, MTU: p.MTU, Standby: p.Standby}
	}
	return list
}

// nextHop returns the way by h.
func (o *observed) nextHop(h *egress.Hop) balancer.NextHop {
	at := station(egress.Place{MAC: h.MAC, Link: h.Link})
	hop := balancer.NextHop{MAC: at.MAC, Link: at.Link, OnLink: h.OnLink, Source: h.Source}
	if i := int(h.Link.Port); i < len(o.snapshot.Ports) && h.MTU < o.snapshot.Ports[i].MTU {
		hop.Link.MTU = uint16(h.MTU)
	}
	return hop
}

// ways returns the next hops to an address whose route has several that are known.
func (o *observed) ways(a netip.Addr) (list []balancer.Way) {
	for i := range o.snapshot.Ways[a] {
		if h := &o.snapshot.Ways[a][i]; h.Known {
			list = append(list, balancer.Way{NextHop: o.nextHop(h), Weight: h.Weight})
		}
	}
	return list
}

// gateways returns the routers of which it is known where they are.
func (o *observed) gateways() (list []balancer.Station) {
	for _, g := range o.snapshot.Gateways {
		if g.Place != (egress.Place{}) {
			list = append(list, station(g.Place))
		}
	}
	return list
}

// station is a place, whatever the MTU on the way there is.
func station(p egress.Place) balancer.Station {
	return balancer.Station{MAC: packet.MAC(p.MAC), Link: balancer.Link{Port: p.Link.Port, Tags: p.Link.Tags}}
}

// words gives places the hop words that flows have.
type words struct{ links *balancer.Links }

// of returns the hop word of a place; 0: there is no room for its link, and so no flow has it.
func (w words) of(p egress.Place) uint64 {
	s := station(p)
	id, ok := w.links.ID(s.Link)
	if !ok {
		return 0
	}
	return id.Word(s.MAC.Word())
}
