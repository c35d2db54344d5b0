package control

import (
	"maps"
	"slices"

	"github.com/afxlb/afxlb/balancer"
)

// Kept is the lasting part of an override in a form that is kept over a restart. Service
// and backend are named by what they are, not by what they are called.
type Kept struct {
	Service string  `json:"service"` // [balancer.ServiceKey.String]
	Backend string  `json:"backend"` // address:port, or the address
	State   string  `json:"state,omitempty"`
	Weight  *uint16 `json:"weight,omitempty"`
	Filed   string  `json:"filed"`
}

// Kept returns what is to be kept over a restart, in an order that is always the same.
func (all Overrides) Kept() []Kept {
	list := []Kept{}
	for _, key := range slices.SortedFunc(maps.Keys(all), compareKeys) {
		o := all[key]
		if o.Lasting == (Setting{}) {
			continue
		}
		k := Kept{Service: key.Service.String(), Backend: Address(key), State: o.Lasting.State, Filed: o.Filed}
		if o.Lasting.Weighted {
			k.Weight = &o.Lasting.Weight
		}
		list = append(list, k)
	}
	return list
}

// Restore returns the overrides that hold under spec of those that were kept, and those
// that do not: the file has changed meanwhile.
func Restore(spec *balancer.Spec, list []Kept) (Overrides, []Ended) {
	keys := map[[2]string]balancer.BackendKey{}
	for i := range spec.Services {
		s := &spec.Services[i]
		for j := range s.Backends {
			key := s.BackendKey(&s.Backends[j])
			keys[[2]string{key.Service.String(), Address(key)}] = key
		}
	}
	all := Overrides{}
	var unknown []Ended
	for _, k := range list {
		var s Setting
		s.State = k.State
		if k.Weight != nil {
			s.Weighted, s.Weight = true, *k.Weight
		}
		if key, is := keys[[2]string{k.Service, k.Backend}]; is {
			all[key] = Override{s, s, k.Filed}
		} else {
			unknown = append(unknown, Ended{k.Service, k.Backend, k.Backend, s, gone})
		}
	}
	kept, ended := all.under(spec, nil)
	return kept, append(ended, unknown...)
}
