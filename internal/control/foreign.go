package control

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/events"
)

// ForeignAddress is an address that the config takes for one of the machine's own, and that is none.
type ForeignAddress struct {
	Address netip.Addr
	Kind    events.Kind // what it is for: SnatAddress or CheckSource
}

// Foreign returns those of spec that are none of the machine's own, each once.
func Foreign(spec *balancer.Spec, local []netip.Addr) (list []ForeignAddress) {
	seen := map[ForeignAddress]bool{} // the defaults give all services the same
	add := func(kind events.Kind, addresses []netip.Addr) {
		for _, a := range addresses {
			if f := (ForeignAddress{a, kind}); !seen[f] {
				if seen[f] = true; !slices.Contains(local, a) {
					list = append(list, f)
				}
			}
		}
	}
	for i := range spec.Services {
		add(events.SnatAddress, spec.Services[i].SnatAddresses)
		add(events.CheckSource, spec.Services[i].Health.Sources)
	}
	return list
}

// String says what that means: to snat-addresses nobody answers here, so what backends send
// there comes only if a router has a route for it; from another's address nothing can be asked.
func (f ForeignAddress) String() string {
	if f.Kind == events.CheckSource {
		return fmt.Sprintf("%v of health.source is no address of this machine: no check can come from it", f.Address)
	}
	return fmt.Sprintf("%v of snat-addresses is no address of this machine, so it does not answer for it: "+
		"unless a router sends here what is to it, no answer of a backend comes back", f.Address)
}

// foreignChanges tells of those that are new, and of those that are not any more.
func foreignChanges(old, now []ForeignAddress) (list []events.Event) {
	for _, f := range now {
		if !slices.Contains(old, f) {
			list = append(list, events.Event{Kind: f.Kind, Severity: events.Warning, Address: f.Address.String(), Text: f.String()})
		}
	}
	for _, f := range old {
		if !slices.Contains(now, f) {
			key := "snat-addresses"
			if f.Kind == events.CheckSource {
				key = "health.source"
			}
			list = append(list, events.Event{
				Kind: f.Kind, Over: true, Severity: events.Info, Address: f.Address.String(),
				Text: fmt.Sprintf("over: %v of %s is no address of this machine", f.Address, key),
			})
		}
	}
	return list
}
