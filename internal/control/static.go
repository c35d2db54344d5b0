package control

import (
	"fmt"
	"slices"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// StaticHop returns the next hop that the user names, by a port that is the i-th.
func StaticHop(h *balancer.StaticHop, i int) balancer.NextHop {
	return balancer.NextHop{MAC: h.MAC, Link: balancer.Link{Port: uint8(i), Tags: h.Tags, MTU: h.MTU}, OnLink: true}
}

// static judges the way by the next hop that the user names.
func (o *observed) static(h *balancer.StaticHop) way {
	ports, i := o.snapshot.Ports, 0
	if h.Port != "" {
		i = slices.IndexFunc(ports, func(p egress.Port) bool { return p.Name == h.Port })
	}
	switch {
	case i < 0:
		return way{reason: fmt.Sprintf("neighbours has it by %s, which is not served", h.Port)}
	case i < len(ports) && !ports[i].Up:
		return way{reason: fmt.Sprintf("%s: %s", ports[i].Name, ports[i].Why)}
	}
	return way{hop: StaticHop(h, i), known: true}
}
