package control

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/afxlb/afxlb/balancer"
)

func TestForeignSources(t *testing.T) {
	a, b, c := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6"), netip.MustParseAddr("2001:db8::5")
	spec := &balancer.Spec{Services: []balancer.ServiceSpec{{SnatAddresses: []netip.Addr{a, b}}, {}, {SnatAddresses: []netip.Addr{b, c}}}}
	if got := Foreign(spec, []netip.Addr{a}); !slices.Equal(got, []netip.Addr{b, c}) {
		t.Errorf("%v, want %v and %v", got, b, c)
	}
	if got := Foreign(spec, []netip.Addr{a, b, c}); got != nil {
		t.Errorf("%v of the machine's own", got)
	}
	for _, test := range []struct {
		old, now []netip.Addr
		want     int
	}{{nil, []netip.Addr{a, b}, 2}, {[]netip.Addr{a}, []netip.Addr{a, b}, 1}, {[]netip.Addr{a, b}, nil, 2}} {
		got := Changes(&View{Foreign: test.old}, &View{Foreign: test.now})
		if len(got) != test.want || test.want > 0 && !strings.Contains(got[len(got)-1].Text, b.String()) {
			t.Errorf("from %v to %v: %+v, want %d", test.old, test.now, got, test.want)
		}
	}
}
