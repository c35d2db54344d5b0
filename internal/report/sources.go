package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/afxlb/afxlb/engine/snat"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/packet"
)

// scarce is at which share of the ports taken a backend is warned of.
const scarce = 0.8

// Scarcity says that new flows find no source port towards a backend, or may soon; empty:
// there are enough.
func Scarcity(s *api.SnatPorts) string {
	switch {
	case s.Taken >= s.Total:
		return fmt.Sprintf("%s/%s: all %d source ports are taken (%d of them rest), and new connections are dropped: add snat-addresses",
			s.Service, s.Backend, s.Total, s.Resting)
	case float64(s.Taken) >= scarce*float64(s.Total):
		return fmt.Sprintf("%s/%s: %d of %d source ports are taken (%d of them rest); when all are, new connections are dropped: add snat-addresses",
			s.Service, s.Backend, s.Taken, s.Total, s.Resting)
	}
	return ""
}

// SnatPorts returns how many source ports are taken towards each backend of full NAT that
// has any, the fullest first.
func SnatPorts(pools []snat.Info, v *control.View) []api.SnatPorts {
	list := []api.SnatPorts{}
	if len(pools) == 0 {
		return list
	}
	byKey := make(map[snat.Key]*snat.Info, len(pools))
	for i := range pools {
		byKey[pools[i].Key] = &pools[i]
	}
	for i := range v.Services {
		s := v.Services[i].Spec
		if !s.Mode.Traits().TranslatesSource {
			continue
		}
		ports := s.SourcePorts()
		for j := range v.Services[i].Backends {
			b := &v.Services[i].Backends[j]
			k := snat.Key{Remote: packet.AddrFrom(b.Key.Address), Port: b.Key.Port, Proto: uint16(s.Protocol)}
			one := api.SnatPorts{Service: s.Name, Backend: b.Name}
			for _, a := range s.SnatAddresses {
				if a.Is4() != b.Key.Address.Is4() {
					continue
				}
				one.Total += int(ports.Last) - int(ports.First) + 1
				k.Source = packet.AddrFrom(a)
				if p := byKey[k]; p != nil {
					one.Taken += p.Lent + p.Resting
					one.Resting += p.Resting
				}
			}
			if one.Taken > 0 {
				list = append(list, one)
			}
		}
	}
	slices.SortStableFunc(list, func(a, b api.SnatPorts) int { return cmp.Compare(b.Taken*a.Total, a.Taken*b.Total) })
	return list
}

// scarcity warns of backends towards which the source ports run out.
func scarcity(list []api.SnatPorts, add adder) {
	for i := range list {
		if text := Scarcity(&list[i]); text != "" {
			add("snat-ports", time.Time{}, "%s", text)
		}
	}
}
