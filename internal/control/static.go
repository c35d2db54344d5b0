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

// staticPort returns which port a next hop that the user names is by, or why it is by none.
func staticPort(h *balancer.StaticHop, ports []egress.Port) (i int, why string) {
	if h.Port != "" {
		i = slices.IndexFunc(ports, func(p egress.Port) bool { return p.Name == h.Port })
	}
	switch {
	case i < 0:
		return 0, fmt.Sprintf("neighbours has it by %s, which is not served", h.Port)
	case i < len(ports) && !ports[i].Up:
		return 0, fmt.Sprintf("%s: %s", ports[i].Name, ports[i].Why)
	}
	return i, ""
}

// static returns the way by the next hop that the user names, which has no [Obstacle].
func (o *observed) static(k *check, h *balancer.StaticHop) way {
	i, _ := staticPort(h, o.snapshot.Ports)
	w := way{hop: StaticHop(h, i), known: true}
	w.hop.Own = o.snapshot.Own[k.key.Address]
	return w
}
