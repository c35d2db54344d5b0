package control

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/health"
	"github.com/afxlb/afxlb/internal/packet"
)

// Check says whether the kernel's part of a valid spec has room, and the files that it names
// can be read. It is what a start and a reload do before they store anything, and touches
// nothing.
func Check(spec *balancer.Spec) error {
	for i := range spec.Services {
		if s := &spec.Services[i]; s.Health.CA != "" {
			if err := health.CheckSigners(s.Health.CA); err != nil {
				return fmt.Errorf("service %q: %w", s.Name, err)
			}
		}
	}
	_, err := plan(spec, &machine{})
	return err
}

// Plan returns the kernel's part of a valid spec for a machine of these addresses, which
// takes frames for these MAC addresses; none: frames are not judged by them. The kernel
// gives the ephemeral ports to connections.
func Plan(spec *balancer.Spec, local []netip.Addr, macs []packet.MAC, ephemeral balancer.Ports) (*bpf.Plan, error) {
	list := make([][6]byte, len(macs))
	for i, mac := range macs {
		list[i] = mac
	}
	return plan(spec, &machine{local: local, macs: [][][6]byte{list}, ephemeral: egress.PortRange(ephemeral)})
}

// machine is what steering has to know of the machine itself.
type machine struct {
	local     []netip.Addr // its own addresses
	macs      [][][6]byte  // by port, as [egress.Port] has them
	ephemeral egress.PortRange
	former    []bpf.Source // of full NAT, not in the spec any more, that flows still speak from
}

func machineOf(s *egress.Snapshot) machine {
	m := machine{local: s.Local, ephemeral: s.Ephemeral}
	for i := range s.Ports {
		m.macs = append(m.macs, s.Ports[i].MACs)
	}
	return m
}

func (m *machine) equal(o *machine) bool {
	return slices.Equal(m.local, o.local) && slices.EqualFunc(m.macs, o.macs, slices.Equal) && m.ephemeral == o.ephemeral && slices.Equal(m.former, o.former)
}

// plan returns the kernel's part of spec.
func plan(spec *balancer.Spec, m *machine) (*bpf.Plan, error) {
	p, err := bpf.NewPlan(steer(spec, m), bpf.DefaultLimits())
	if err != nil {
		return nil, fmt.Errorf("plan the steering of the services: %w", err)
	}
	return p, nil
}

// steer says which packets are the balancer's.
func steer(spec *balancer.Spec, m *machine) bpf.Steering {
	out := bpf.Steering{Local: m.local, Ephemeral: bpf.Ports(m.ephemeral), Sources: append(sources(spec), m.former...)}
	if len(m.macs) > 0 {
		out.MACs, out.MoreMACs = m.macs[0], m.macs[1:]
	}
	seen := map[bpf.Endpoint]bool{}
	for i := range spec.Services {
		s := &spec.Services[i]
		out.Services = append(out.Services, bpf.Service{Address: s.Address, Protocol: uint8(s.Protocol), First: s.First, Last: s.Last})
		out.Tunnels = append(out.Tunnels, tunnelEnds(s)...)
		if !s.Mode.Traits().RepliesReturn {
			continue
		}
		for j := range s.Backends {
			e := bpf.Endpoint{Address: s.Backends[j].Address, Protocol: uint8(s.Protocol), First: s.First, Last: s.Last}
			if port := s.Target(&s.Backends[j]); port != 0 {
				e.First, e.Last = port, port
			}
			if !seen[e] {
				seen[e] = true
				out.Replies = append(out.Replies, e)
			}
		}
	}
	return out
}

// tunnelEnds are the backends of s that packets go to inside of others.
func tunnelEnds(s *balancer.ServiceSpec) (ends []bpf.TunnelEnd) {
	for i := range s.Backends {
		t, ok := s.TunnelTo(s.Backends[i].Address, netip.Addr{})
		if !ok {
			return nil
		}
		e := bpf.TunnelEnd{Address: t.Destination, Protocol: t.Protocol()}
		if e.Protocol == bpf.UDP {
			e.Port = t.Port
		}
		ends = append(ends, e)
	}
	return ends
}
