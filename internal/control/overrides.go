package control

import (
	"fmt"
	"slices"
	"strings"

	"github.com/afxlb/afxlb/balancer"
)

// Override is what an operator has changed of a backend at run time. It takes the place of
// what the file says until it is taken back, or the file says something else of that backend.
// The zero value changes nothing.
type Override struct {
	State    string // [BackendDrain] or [BackendDisabled]; empty: it takes part
	Weighted bool   // Weight takes the place of the file's
	Weight   uint16
	Volatile bool   // not for longer than the process
	Filed    string // what the file said of the backend then; see [filed]
}

// Active reports whether there is an override.
func (o *Override) Active() bool { return o.State != "" || o.Weighted }

// weight returns the nominal weight of b under the override.
func (o *Override) weight(b *balancer.BackendSpec) uint16 {
	switch {
	case o.State != "":
		return 0
	case o.Weighted:
		return o.Weight
	}
	return b.Weight
}

// disabled reports whether an operator has taken the backend out. Then it is not asked how
// it is, it is none of those by whom others are judged, and its flows go by on-down.
func (k *check) disabled() bool { return k.override.State == BackendDisabled }

// disabled is the condition of such a backend.
var disabled = condition{BackendDisabled, "", balancer.StateDown}

// filed is what the file says of a backend, for comparison with what it says later. Names
// are only labels, and what it is stays as it is; all else that there is of one belongs here.
func filed(b *balancer.BackendSpec) string { return fmt.Sprintf("weight %d", b.Weight) }

// Overrides are those that there are, by backend. They are never changed once in use.
type Overrides map[balancer.BackendKey]Override

// Ended is an override that has ended because the file has its say again.
type Ended struct {
	Key balancer.BackendKey
	Override
	Why string
}

// under returns which overrides hold under spec, and which have ended.
func (all Overrides) under(spec *balancer.Spec) (kept Overrides, ended []Ended) {
	if len(all) == 0 {
		return all, nil
	}
	kept = make(Overrides, len(all))
	for i := range spec.Services {
		s := &spec.Services[i]
		for j := range s.Backends {
			key := s.BackendKey(&s.Backends[j])
			o, is := all[key]
			if !is {
				continue
			}
			if now := filed(&s.Backends[j]); now != o.Filed {
				ended = append(ended, Ended{key, o, fmt.Sprintf("the file has changed it: it said %s, and says %s", o.Filed, now)})
			} else {
				kept[key] = o
			}
		}
	}
	gone := len(ended)
	for key, o := range all {
		if _, is := kept[key]; !is && !slices.ContainsFunc(ended[:gone], func(e Ended) bool { return e.Key == key }) {
			ended = append(ended, Ended{key, o, "the file does not have it any more"})
		}
	}
	slices.SortFunc(ended[gone:], func(a, b Ended) int { return strings.Compare(a.Key.String(), b.Key.String()) })
	return kept, ended
}
