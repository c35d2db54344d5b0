package control

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/events"
)

// Foreign returns those snat-addresses of spec that are none of the machine's own, each
// once. Nobody answers for them here, so what backends send there comes only if a router
// has a route for it.
func Foreign(spec *balancer.Spec, local []netip.Addr) (list []netip.Addr) {
	for i := range spec.Services {
		for _, a := range spec.Services[i].SnatAddresses {
			if !slices.Contains(local, a) && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

// ForeignText says what that means of one.
func ForeignText(a netip.Addr) string {
	return fmt.Sprintf("%v of snat-addresses is no address of this machine, so it does not answer for it: "+
		"unless a router sends here what is to it, no answer of a backend comes back", a)
}

// foreignChanges tells of those that are new, and of those that are not any more.
func foreignChanges(old, now []netip.Addr) (list []events.Event) {
	for _, a := range now {
		if !slices.Contains(old, a) {
			list = append(list, events.Event{Kind: events.SnatAddress, Severity: events.Warning, Address: a.String(), Text: ForeignText(a)})
		}
	}
	for _, a := range old {
		if !slices.Contains(now, a) {
			list = append(list, events.Event{
				Kind: events.SnatAddress, Over: true, Severity: events.Info, Address: a.String(),
				Text: fmt.Sprintf("over: %v of snat-addresses is no address of this machine", a),
			})
		}
	}
	return list
}
