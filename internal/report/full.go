package report

import (
	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/control"
)

// Full names the services that take no new connections now, since each of their backends in
// rotation has as many as it may have; empty: there is none.
func (s *Source) Full() string {
	v := s.View()
	if v.Table == nil {
		return ""
	}
	var names []string
	for i := range v.Services {
		if full(v, i, func(id uint32) bool { return s.Loads.Full(v.Table, id) }) {
			names = append(names, v.Services[i].Spec.Name)
		}
	}
	return some(names)
}

// full reports whether service i has backends in rotation, and all of them are full.
func full(v *control.View, i int, is func(id uint32) bool) bool {
	ids := backendIDs(v, i)
	for j := range v.Services[i].Backends {
		if v.Services[i].Backends[j].Share > 0 && !is(ids[j]) {
			return false
		}
	}
	return v.Services[i].Up > 0
}

// inVain is how many clients in a row are enough to speak of.
const inVain = 3

// Mute names the backends in state up that have refused their latest clients, or left their SYNs
// unanswered, and how often they have, all together. Where replies do not pass, nobody knows.
func (s *Source) Mute() (names string, times int64) {
	v := s.View()
	if v.Table == nil || !s.Loads.Troubled() {
		return "", 0
	}
	var list []string
	for i := range v.Services {
		svc := &v.Services[i]
		if !svc.Spec.Mode.Traits().RepliesReturn || svc.Spec.Protocol != balancer.TCP {
			continue
		}
		for j, id := range backendIDs(v, i) {
			if n := max(s.Loads.Refused(id), s.Loads.Ignored(id)); n >= inVain && svc.Backends[j].State == control.BackendUp {
				list, times = append(list, svc.Spec.Name+"/"+svc.Backends[j].Name), times+n
			}
		}
	}
	return some(list), times
}
