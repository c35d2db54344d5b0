package balancer

import (
	"cmp"
	"slices"
)

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
// address, protocol and class, the index of the earlier one.
func (s *Spec) clashes() map[int]int {
	order := make([]int, len(s.Services))
	for i := range order {
		order[i] = i
	}
	place := func(a, b *ServiceSpec) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.portClass(), b.portClass()))
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &s.Services[i], &s.Services[j]
		return cmp.Or(place(a, b), cmp.Compare(a.First, b.First), cmp.Compare(i, j))
	})
	found := map[int]int{}
	var widest *ServiceSpec // of those at the same place so far, the one that reaches furthest
	var at int
	for _, i := range order {
		this := &s.Services[i]
		same := widest != nil && place(widest, this) == 0
		if same && this.First <= widest.Last {
			found[max(i, at)] = min(i, at)
		}
		if !same || this.Last > widest.Last {
			widest, at = this, i
		}
	}
	return found
}
