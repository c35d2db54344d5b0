package control

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/events"
)

func TestForeignSources(t *testing.T) {
	a, b, c := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6"), netip.MustParseAddr("2001:db8::5")
	spec := &balancer.Spec{Services: []balancer.ServiceSpec{
		{SnatAddresses: []netip.Addr{a, b}}, {}, {SnatAddresses: []netip.Addr{b, c}, Health: balancer.HealthSpec{Sources: []netip.Addr{a, c}}},
	}}
	of := func(kind events.Kind, addresses ...netip.Addr) (list []ForeignAddress) {
		for _, a := range addresses {
			list = append(list, ForeignAddress{a, kind})
		}
		return list
	}
	if got := Foreign(spec, []netip.Addr{a}); !slices.Equal(got, append(of(events.SnatAddress, b, c), of(events.CheckSource, c)...)) {
		t.Errorf("%v, want %v and %v, and %v of checks", got, b, c, c)
	}
	if got := Foreign(spec, []netip.Addr{a, b, c}); got != nil {
		t.Errorf("%v of the machine's own", got)
	}
	for _, test := range []struct {
		old, now []ForeignAddress
		want     int
	}{
		{nil, of(events.SnatAddress, a, b), 2}, {of(events.SnatAddress, a), of(events.SnatAddress, a, b), 1}, {of(events.SnatAddress, a, b), nil, 2},
		{of(events.SnatAddress, b), of(events.CheckSource, b), 2}, {of(events.CheckSource, b), nil, 1},
	} {
		got := Changes(&View{Foreign: test.old}, &View{Foreign: test.now})
		if len(got) != test.want || test.want > 0 && !strings.Contains(got[len(got)-1].Text, b.String()) {
			t.Errorf("from %v to %v: %+v, want %d", test.old, test.now, got, test.want)
		}
	}
}
