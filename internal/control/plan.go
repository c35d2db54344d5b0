package control

import (
	"fmt"
	"net/netip"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
)

// Check says whether the kernel's part of a valid spec has room. It is the plan that a
// start and a reload make before they store anything, and touches nothing.
func Check(spec *balancer.Spec) error {
	_, err := plan(spec, nil)
	return err
}

// plan returns the kernel's part of spec.
func plan(spec *balancer.Spec, local []netip.Addr) (*bpf.Plan, error) {
	p, err := bpf.NewPlan(steer(spec, local), bpf.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("plan the steering of the services: %w", err)
	}
	return p, nil
}

// steer says which packets are the balancer's.
func steer(spec *balancer.Spec, local []netip.Addr) bpf.Steering {
	out := bpf.Steering{Local: local}
	seen := map[bpf.Endpoint]bool{}
	for i := range spec.Services {
		s := &spec.Services[i]
		out.Services = append(out.Services, bpf.Service{Address: s.Address, Protocol: uint8(s.Protocol), First: s.First, Last: s.Last})
		if !s.Mode.Traits().RepliesReturn {
			continue
		}
		for j := range s.Backends {
			e := bpf.Endpoint{Address: s.Backends[j].Address, Protocol: uint8(s.Protocol), Port: s.Target(&s.Backends[j])}
			if !seen[e] {
				seen[e] = true
				out.Replies = append(out.Replies, e)
			}
		}
	}
	return out
}
