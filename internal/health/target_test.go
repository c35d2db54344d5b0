package health

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/balancer"
)

var anAddress = netip.MustParseAddrPort("192.0.2.1:80")

// codes makes ranges of pairs: first, last, first, last …
func codes(pairs ...int) (list []balancer.StatusRange) {
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, balancer.StatusRange{First: pairs[i], Last: pairs[i+1]})
	}
	return list
}

func TestTargetOf(t *testing.T) {
	http := balancer.HealthSpec{
		Type: balancer.HealthHTTP, Interval: time.Second, Timeout: time.Second / 2,
		Path: "/health", Host: "www.example.com", Expect: codes(200, 204), Body: "well", Rise: 2, Fall: 3,
	}
	want := Target{
		Address: anAddress, Type: balancer.HealthHTTP, Interval: time.Second, Fast: time.Second, Timeout: time.Second / 2,
		Path: "/health", Host: "www.example.com", Expect: "200-204", Body: "well",
	}
	if got := TargetOf(anAddress, &http); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	tcp := http
	tcp.Type = balancer.HealthTCP
	want = Target{Address: anAddress, Type: balancer.HealthTCP, Interval: time.Second, Fast: time.Second, Timeout: time.Second / 2}
	if got := TargetOf(anAddress, &tcp); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestSameQuestionSameTarget changes one thing at a time.
func TestSameQuestionSameTarget(t *testing.T) {
	base := balancer.HealthSpec{Type: balancer.HealthHTTP, Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 3}
	for name, test := range map[string]struct {
		change func(*balancer.HealthSpec)
		same   bool
	}{
		"rise":              {func(s *balancer.HealthSpec) { s.Rise = 5 }, true},
		"fall":              {func(s *balancer.HealthSpec) { s.Fall = 5 }, true},
		"path written out":  {func(s *balancer.HealthSpec) { s.Path = "/" }, true},
		"codes written out": {func(s *balancer.HealthSpec) { s.Expect = codes(300, 399, 200, 299) }, true},
		"interval":          {func(s *balancer.HealthSpec) { s.Interval++ }, false},
		"timeout":           {func(s *balancer.HealthSpec) { s.Timeout-- }, false},
		"type":              {func(s *balancer.HealthSpec) { s.Type = balancer.HealthTCP }, false},
		"path":              {func(s *balancer.HealthSpec) { s.Path = "/health" }, false},
		"host":              {func(s *balancer.HealthSpec) { s.Host = "www.example.com" }, false},
		"codes":             {func(s *balancer.HealthSpec) { s.Expect = codes(200, 398) }, false},
		"body":              {func(s *balancer.HealthSpec) { s.Body = "well" }, false},
		"fast interval":     {func(s *balancer.HealthSpec) { s.FastInterval = time.Second / 2 }, false},
		"fast as usual":     {func(s *balancer.HealthSpec) { s.FastInterval = time.Second }, true},
		"source":            {func(s *balancer.HealthSpec) { s.Sources = []netip.Addr{netip.MustParseAddr("10.0.0.1")} }, false},
		"another family's":  {func(s *balancer.HealthSpec) { s.Sources = []netip.Addr{netip.MustParseAddr("2001:db8::1")} }, true},
		"other types' keys": {func(s *balancer.HealthSpec) { s.CA, s.Send, s.Name, s.Query = "/ca", "x", "a", 28 }, true},
	} {
		changed := base
		test.change(&changed)
		if same := TargetOf(anAddress, &changed) == TargetOf(anAddress, &base); same != test.same {
			t.Errorf("%s: same %v, want %v", name, same, test.same)
		}
	}
	if TargetOf(anAddress, &base) == TargetOf(netip.MustParseAddrPort("192.0.2.1:81"), &base) {
		t.Error("another port is not noticed")
	}
}

func TestCanonical(t *testing.T) {
	for _, test := range []struct {
		ranges []balancer.StatusRange
		want   string
	}{
		{nil, "200-399"},
		{codes(404, 404, 200, 299), "200-299,404"},
		{codes(200, 200, 201, 201, 203, 203), "200-201,203"},
		{codes(200, 299, 210, 220, 299, 300), "200-300"},
		{codes(204, 204, 204, 204), "204"},
	} {
		before := append([]balancer.StatusRange(nil), test.ranges...)
		if got := canonical(test.ranges); got != test.want {
			t.Errorf("%v: got %q, want %q", test.ranges, got, test.want)
		}
		for i := range before {
			if before[i] != test.ranges[i] {
				t.Errorf("%v was changed to %v", before, test.ranges)
			}
		}
	}
}

// TestCanonicalKeepsTheMeaning holds two lists against the set of codes that they
// mean: the text admits these codes and no others, and is equal if the sets are.
func TestCanonicalKeepsTheMeaning(t *testing.T) {
	draw := func(t *rapid.T, label string) (list []balancer.StatusRange, set [600]bool) {
		for range rapid.IntRange(1, 4).Draw(t, label) {
			// From few codes, so that ranges meet.
			first := rapid.IntRange(100, 112).Draw(t, "first")
			last := rapid.IntRange(first, 115).Draw(t, "last")
			list = append(list, balancer.StatusRange{First: first, Last: last})
			for code := first; code <= last; code++ {
				set[code] = true
			}
		}
		return list, set
	}
	rapid.Check(t, func(t *rapid.T) {
		listA, setA := draw(t, "a")
		listB, setB := draw(t, "b")
		a, b := canonical(listA), canonical(listB)
		if (a == b) != (setA == setB) {
			t.Fatalf("%v is %q and %v is %q", listA, a, listB, b)
		}
		for code, want := range setA {
			if expects(a, code) != want {
				t.Fatalf("%q from %v: %d is expected: %v", a, listA, code, !want)
			}
		}
	})
}

// TestHolderOf: what is asked at a service's address, and what is good there.
func TestHolderOf(t *testing.T) {
	dsr := func(protocol balancer.Protocol, first, last uint16, h balancer.HealthSpec) *balancer.ServiceSpec {
		h.Interval, h.Timeout = 5*time.Second, 2*time.Second
		return &balancer.ServiceSpec{
			Address: netip.MustParseAddr("192.0.2.10"), First: first, Last: last, Protocol: protocol, Mode: balancer.DSR, Health: h,
		}
	}
	tcp, http, none := balancer.HealthSpec{Type: balancer.HealthTCP}, balancer.HealthSpec{Type: balancer.HealthHTTP, Path: "/x", Port: 8081}, balancer.HealthSpec{}
	none.Type = balancer.HealthNone
	nat := dsr(balancer.TCP, 80, 80, tcp)
	nat.Mode = balancer.NAT
	for name, c := range map[string]struct {
		service *balancer.ServiceSpec
		port    uint16 // 0: nothing is asked
		closed  bool
	}{
		"one port":                {dsr(balancer.TCP, 80, 80, tcp), 80, false},
		"one port, another check": {dsr(balancer.TCP, 80, 80, http), 80, false},
		"range":                   {dsr(balancer.TCP, 8000, 8099, http), 8081, false},
		"any":                     {dsr(balancer.TCP, 0, balancer.MaxPort, http), 8081, false},
		"check beside the range":  {dsr(balancer.TCP, 9000, 9099, http), 8081, true},
		"UDP":                     {dsr(balancer.UDP, 53, 53, tcp), 53, true},
		"UDP, another check":      {dsr(balancer.UDP, 53, 53, http), 8081, true},
		"UDP, a range":            {dsr(balancer.UDP, 8000, 8099, http), 8081, true},
		"no check":                {dsr(balancer.TCP, 80, 80, none), 0, false},
		"nat":                     {nat, 0, false},
	} {
		b := balancer.BackendSpec{Address: netip.MustParseAddr("10.0.0.11")}
		got, ok := HolderOf(c.service, &b)
		want := Target{}
		if c.port != 0 {
			want = Target{
				Address: netip.AddrPortFrom(c.service.Address, c.port), Type: balancer.HealthTCP, Interval: 5 * time.Second, Fast: 5 * time.Second, Timeout: 2 * time.Second,
				Holder: b.Address, Closed: c.closed,
			}
		}
		if got != want || ok != (c.port != 0) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, ok, want)
		}
	}
}
