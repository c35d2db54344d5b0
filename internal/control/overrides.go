package control

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/events"
)

// Setting is how an operator has a backend take part, in place of what the file says. The
// zero value is what the file says.
type Setting struct {
	State    string // [BackendDrain] or [BackendDisabled]; empty: it takes part
	Weighted bool   // Weight takes the place of the file's
	Weight   uint16
}

// String returns the setting for people: "drain, weight 5"; empty: it is the file's.
func (s Setting) String() string {
	if !s.Weighted {
		return s.State
	}
	return strings.TrimPrefix(fmt.Sprintf("%s, weight %d", s.State, s.Weight), ", ")
}

// weight returns the nominal weight of b.
func (s *Setting) weight(b *balancer.BackendSpec) uint16 {
	switch {
	case s.State != "":
		return 0
	case s.Weighted:
		return s.Weight
	}
	return b.Weight
}

// Override is what operators have changed of a backend at run time. It holds until it is
// taken back, or the file says something else of that backend.
type Override struct {
	Setting
	Lasting Setting // what of it is kept over a restart
	Filed   string  // what the file said of the backend then; see [filed]
}

// filed is what the file says of a backend, for comparison with what it says later. Names
// are only labels, and what it is stays as it is; all else that there is of one belongs here.
func filed(b *balancer.BackendSpec) string {
	said := fmt.Sprintf("weight %d", b.Weight)
	if b.Backup {
		said += " backup"
	}
	if b.MaxConns > 0 {
		said += fmt.Sprintf(" max-conns %d", b.MaxConns)
	}
	return said
}

// Overrides are those that there are, by backend. They are never changed once in use.
type Overrides map[balancer.BackendKey]Override

// with returns them with another one for a backend.
func (all Overrides) with(key balancer.BackendKey, o Override) Overrides {
	next := maps.Clone(all)
	if next == nil {
		next = Overrides{}
	}
	if o.Setting == (Setting{}) && o.Lasting == (Setting{}) {
		delete(next, key)
	} else {
		next[key] = o
	}
	return next
}

// Ended is an override that holds no more, because the file has its say again. A service or
// backend that is gone has the name that it had, or its address if nobody knows that any more.
type Ended struct {
	Service, Backend, Address string
	Setting                   Setting // that held or, if that is the file's, would have after a restart
	Why                       string
}

// Event tells of it.
func (e *Ended) Event() events.Event {
	return events.Event{
		Kind: events.Override, Over: true, Severity: events.Warning, Service: e.Service, Backend: e.Backend, Address: e.Address,
		Text: "an operator's change of the backend has ended: " + e.Setting.String(), Reason: e.Why,
	}
}

const gone = "the file does not have it any more"

// under returns which overrides hold under spec, and which have ended; before is what was in its
// place, nil if that is not known.
func (all Overrides) under(spec, before *balancer.Spec) (kept Overrides, ended []Ended) {
	if len(all) == 0 {
		return all, nil
	}
	kept, left := Overrides{}, maps.Clone(all)
	for i := range spec.Services {
		s := &spec.Services[i]
		for j := range s.Backends {
			b := &s.Backends[j]
			key := s.BackendKey(b)
			o, is := all[key]
			if !is {
				continue
			}
			delete(left, key)
			if now := filed(b); now != o.Filed {
				why := fmt.Sprintf("the file has changed it: it said %s, and says %s", o.Filed, now)
				ended = append(ended, Ended{s.Name, b.Name, Address(key), cmp.Or(o.Setting, o.Lasting), why})
			} else {
				kept[key] = o
			}
		}
	}
	for _, key := range slices.SortedFunc(maps.Keys(left), compareKeys) {
		o := left[key]
		e := Ended{key.Service.String(), Address(key), Address(key), cmp.Or(o.Setting, o.Lasting), gone}
		if s, b := named(before, key); b != nil {
			e.Service, e.Backend = s.Name, b.Name
		}
		ended = append(ended, e)
	}
	return kept, ended
}

// named returns the service and the backend of a key; nil if spec is, or has none.
func named(spec *balancer.Spec, key balancer.BackendKey) (*balancer.ServiceSpec, *balancer.BackendSpec) {
	if spec == nil {
		return nil, nil
	}
	for i := range spec.Services {
		s := &spec.Services[i]
		if s.Key() != key.Service {
			continue
		}
		for j := range s.Backends {
			if s.BackendKey(&s.Backends[j]) == key {
				return s, &s.Backends[j]
			}
		}
	}
	return nil, nil
}

func compareKeys(a, b balancer.BackendKey) int { return strings.Compare(a.String(), b.String()) }

// disabled reports whether an operator has taken the backend out. Then it is not asked how
// it is, it is none of those by whom others are judged, and its flows go by on-down.
func (k *check) disabled() bool { return k.override.State == BackendDisabled }

// disabled is the condition of such a backend.
var disabled = condition{state: BackendDisabled, table: balancer.StateDown}
