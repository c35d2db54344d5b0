package balancer

import "net/netip"

// portClass ranks how precisely a service names its ports. Where several
// services match a packet the most precise one gets it, so that services of
// different classes may overlap: any but port 22, say.
type portClass uint8

const (
	exactPort portClass = iota
	portRange
	anyPort
)

func (s *ServiceSpec) portClass() portClass {
	switch {
	case s.First == s.Last:
		return exactPort
	case s.AnyPort():
		return anyPort
	default:
		return portRange
	}
}

// clashes returns, for each service that overlaps an earlier one of the same
// address, protocol and class, the index of that one.
func (s *Spec) clashes() map[int]int {
	type rivals struct { // services that may overlap
		address  netip.Addr
		protocol Protocol
		class    portClass
		port     uint16 // of exactPort: only the same port can overlap
	}
	earlier := map[rivals][]int{}
	found := map[int]int{}
	for i := range s.Services {
		this := &s.Services[i]
		key := rivals{this.Address, this.Protocol, this.portClass(), 0}
		if key.class == exactPort {
			key.port = this.First
		}
		for _, j := range earlier[key] {
			if this.Key().Overlaps(s.Services[j].Key()) {
				found[i] = j
				break
			}
		}
		earlier[key] = append(earlier[key], i)
	}
	return found
}
