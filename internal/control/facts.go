package control

import (
	"net/netip"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/neighbour"
	"github.com/afxlb/afxlb/internal/packet"
)

// setWatcher makes w the source of next hops, or nil while the interface is away.
func (c *Controller) setWatcher(w *neighbour.Watcher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watcher = w; w != nil {
		w.Set(addresses(&c.spec))
	}
}

// gather collects what the table depends on besides the spec. The lock is held.
func (c *Controller) gather() (f balancer.Facts, wait time.Duration) {
	if c.watcher != nil {
		c.hops = c.watcher.Snapshot()
	}
	now := time.Now()
	f = balancer.Facts{
		SourceMAC: packet.MAC(c.hops.MAC),
		Health:    map[balancer.BackendRef]balancer.State{},
		NextHop:   map[netip.Addr]packet.MAC{},
		Oldest:    c.engine.Oldest(),
	}
	for i := range c.spec.Services {
		s := &c.spec.Services[i]
		states, w := c.states(s, now)
		if w > 0 && (wait == 0 || w < wait) {
			wait = w
		}
		for j, state := range states {
			f.Health[balancer.BackendRef{Service: s.Name, Backend: s.Backends[j].Name}] = state
		}
	}
	for a, h := range c.hops.Hops {
		if h.Known {
			f.NextHop[a] = packet.MAC(h.MAC)
		}
	}
	// A dsr backend behind a gateway would get the packet by way of a router,
	// which would send it back here.
	for i := range c.spec.Services {
		if s := &c.spec.Services[i]; s.Mode == balancer.DSR {
			for j := range s.Backends {
				if a := s.Backends[j].Address; !c.hops.Hops[a].OnLink {
					delete(f.NextHop, a)
				}
			}
		}
	}
	return f, wait
}

// addresses returns every backend's address once.
func addresses(s *balancer.Spec) (list []netip.Addr) {
	seen := map[netip.Addr]bool{}
	for i := range s.Services {
		for _, b := range s.Services[i].Backends {
			if !seen[b.Address] {
				seen[b.Address] = true
				list = append(list, b.Address)
			}
		}
	}
	return list
}

// steer returns the kernel's part of the spec: which packets are the balancer's.
func steer(s *balancer.Spec, local []netip.Addr) bpf.Steering {
	out := bpf.Steering{Local: local}
	seen := map[bpf.Endpoint]bool{}
	for i := range s.Services {
		svc := &s.Services[i]
		out.Services = append(out.Services, bpf.Service{Address: svc.Address, Protocol: uint8(svc.Protocol), First: svc.First, Last: svc.Last})
		if svc.Mode != balancer.NAT {
			continue
		}
		for j := range svc.Backends {
			e := bpf.Endpoint{Address: svc.Backends[j].Address, Protocol: uint8(svc.Protocol), Port: svc.Target(&svc.Backends[j])}
			if !seen[e] {
				seen[e] = true
				out.Replies = append(out.Replies, e)
			}
		}
	}
	return out
}
