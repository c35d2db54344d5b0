package balancer

import (
	"net/netip"
	"testing"
)

// What holds of every row, built or not.
func TestTraits(t *testing.T) {
	for m := range Mode(len(modes)) {
		w := m.Traits()
		if w.Translates != w.RepliesReturn {
			t.Errorf("%v: what was translated must be translated back, and nothing else returns: %+v", m, w)
		}
		if w.TranslatesSource && !w.Translates {
			t.Errorf("%v: the source is translated and the destination is not: %+v", m, w)
		}
		if w.Encapsulates && (w.Translates || w.NeedsLink || !w.MixesFamilies) {
			t.Errorf("%v: an encapsulated packet is untouched, and routed whatever is inside: %+v", m, w)
		}
	}
	if len(modes) != len(modeNames) {
		t.Errorf("%d modes have traits, %d have names", len(modes), len(modeNames))
	}
	if w := Mode(200).Traits(); w != (Traits{}) {
		t.Errorf("what is no mode has traits %+v", w)
	}
}

// Validation says what the table says.
func TestValidateFollowsTraits(t *testing.T) {
	for m := range Mode(len(modes)) {
		for _, other := range []bool{false, true} {
			spec := webSpec(RoundRobin, 1)
			s := &spec.Services[0]
			s.Mode, s.Backends[0].Port = m, 0
			if m == GUE {
				s.GUE = GUESpec{Port: 6080, Variant: 1}
			}
			if other {
				s.Backends[0].Address = netip.MustParseAddr("2001:db8::1")
			}
			if m.Traits().TranslatesSource {
				s.SnatAddresses = []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("2001:db8::5")}
			}
			want := m.Traits().Built && (!other || m.Traits().MixesFamilies)
			if problems := spec.Validate(); (len(problems) == 0) != want {
				t.Errorf("%v, another family %t: want valid %t, found %v", m, other, want, problems)
			}
		}
	}
}

// A way by a router fits where the mode does not need the link; and where packets go inside
// others, these have to come from somewhere.
func TestNextHopFits(t *testing.T) {
	mac := [6]byte{2}
	for m := range Mode(len(modes)) {
		for _, test := range []struct {
			hop  NextHop
			want bool
		}{
			{NextHop{}, false},
			{NextHop{OnLink: true}, false},
			{NextHop{MAC: mac, OnLink: true}, true},
			{NextHop{MAC: mac}, m != DSR},
		} {
			service, backend := &ServiceSpec{Mode: m}, netip.MustParseAddr("10.0.0.11")
			if m.Traits().Encapsulates {
				if test.hop.fits(service, backend) {
					t.Errorf("%v by %+v: fits without a source", m, test.hop)
				}
				test.hop.Own = netip.MustParseAddr("10.0.0.1")
			}
			if got := test.hop.fits(service, backend); got != test.want {
				t.Errorf("%v by %+v: fits %t, want %t", m, test.hop, got, test.want)
			}
		}
	}
}
