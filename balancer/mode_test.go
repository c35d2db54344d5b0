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
		if encapsulates := w.Overhead4 > 0; encapsulates && (w.Translates || w.NeedsLink || w.Overhead6 != w.Overhead4+20) {
			t.Errorf("%v: an encapsulated packet is routed and untouched, and IPv6's header is 20 bytes longer: %+v", m, w)
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

// A way by a router fits where the mode does not need the link, and that alone.
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
			if got := test.hop.fits(m); got != test.want {
				t.Errorf("%v by %+v: fits %t, want %t", m, test.hop, got, test.want)
			}
		}
	}
}
