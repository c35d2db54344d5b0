package control

import (
	"fmt"
	"net/netip"
	"syscall"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/health"
)

// served tells the prober of the link that is served.
type served struct{ *Reconciler }

// Hop implements [health.Link].
func (r served) Hop(backend netip.Addr, direct bool) (health.Hop, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.observed.snapshot.Hops[backend]
	if !r.observed.link.up || !h.Known || direct && !h.OnLink {
		return health.Hop{}, fmt.Errorf("no MAC address is known for %v: %w", backend, syscall.EHOSTUNREACH)
	}
	return health.Hop{Ifindex: h.Device, MAC: h.MAC, Own: r.observed.snapshot.Own[backend]}, nil
}

// Taken implements [health.Link].
func (r served) Taken(own netip.AddrPort) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.observed.groups {
		s := g.spec
		if s.Protocol == balancer.TCP && s.Address == own.Addr() && s.First <= own.Port() && own.Port() <= s.Last {
			return true
		}
	}
	return false
}
