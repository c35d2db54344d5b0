package report

import (
	"net/netip"
	"slices"
	"time"

	"github.com/afxlb/afxlb/internal/announce"
)

// misplaced warns of services' addresses that this machine is to hold and does not, and of
// those that another machine says it has.
func misplaced(addresses map[netip.Addr]announce.State, add adder) {
	var list []netip.Addr
	for a := range addresses {
		list = append(list, a)
	}
	slices.SortFunc(list, netip.Addr.Compare)
	for _, a := range list {
		switch s := addresses[a]; {
		case s.Problem != "":
			add("announce-failed", time.Time{}, "%v is not announced: %s", a, s.Problem)
		case s.Conflict != "" && s.Held:
			add("address-conflict", time.Time{}, "%v: another machine (%s) by %s says that it has the address too: take it away from one of them", a, s.Conflict, s.Device)
		case s.Conflict != "":
			add("address-conflict", time.Time{}, "%v is not announced: another machine (%s) by %s has the address", a, s.Conflict, s.Device)
		}
	}
}
