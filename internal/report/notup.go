package report

import (
	"slices"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
)

// maxNotUp is how many backends that are not up the status names. A look at it is to tell at
// once who is down, and costs the same where thousands are.
const maxNotUp = 5

// notUp returns the first of the backends that can't serve, which are those that upTotal does
// not count as up.
func notUp(v *control.View) []api.NotUp {
	list := make([]api.NotUp, 0, maxNotUp+1)
	for i := range v.Services {
		svc := &v.Services[i]
		for j := range svc.Backends {
			b := &svc.Backends[j]
			state, reason, since := v.Shown(b)
			if state == control.BackendUp || state == control.BackendDrain {
				continue
			}
			n := api.NotUp{Service: svc.Spec.Name, Backend: b.Name, State: state, Reason: reason, Since: since}
			at := len(list)
			for at > 0 && sooner(&n, &list[at-1]) {
				at--
			}
			if at == maxNotUp {
				continue
			}
			if state == control.BackendDown && reason == "" {
				n.Reason = b.Check
			}
			n.Address = control.Address(b.Key)
			list = slices.Insert(list, at, n)
			list = list[:min(len(list), maxNotUp)]
		}
	}
	return list
}

// sooner reports whether a is to be told before b.
func sooner(a, b *api.NotUp) bool {
	if meant := a.State == control.BackendDisabled; meant != (b.State == control.BackendDisabled) {
		return !meant // an operator knows of those
	}
	return a.Since.After(b.Since)
}
