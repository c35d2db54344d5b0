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
// Of a bond it is one by which that sends to this MAC address.
func staticPort(h *balancer.StaticHop, seen *egress.Snapshot) (i int, why string) {
	name := h.Port
	if name == "" && len(seen.Named) > 0 {
		name = seen.Named[0]
	}
	if i, why, ok := seen.Exit(name, h.MAC); ok {
		return i, why
	}
	if name != "" {
		i = slices.IndexFunc(seen.Ports, func(p egress.Port) bool { return p.Name == name })
	}
	switch {
	case i < 0:
		return 0, fmt.Sprintf("neighbours has it by %s, which is not served", name)
	case i < len(seen.Ports) && !seen.Ports[i].Up:
		return 0, fmt.Sprintf("%s: %s", name, seen.Ports[i].Why)
	}
	return i, ""
}

// static returns the way by the next hop that the user names, which has no [Obstacle].
func (o *observed) static(k *check, h *balancer.StaticHop) way {
	i, _ := staticPort(h, &o.snapshot)
	w := way{hop: StaticHop(h, i), known: true}
	w.hop.Own = o.snapshot.Own[k.key.Address]
	return w
}
