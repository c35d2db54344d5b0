package control

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/lab"
)

var tiny = Scenes(Scene{}, true)[0]

// TestConfig reads what was written as the daemon does.
func TestConfig(t *testing.T) {
	sc := Scene{Services: 2*vips + 7, Backends: 3, Addresses: 8, Interval: 2 * time.Second, Timeout: 700 * time.Millisecond}
	c, err := config.Parse("scene.yaml", []byte(sc.config(map[int]int{4: 9, 300: 2})))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Spec.Services) != sc.Services {
		t.Fatalf("%d services, want %d", len(c.Spec.Services), sc.Services)
	}
	at := map[netip.Addr]int{}
	for i, s := range c.Spec.Services {
		if s.Name != serviceName(i) || s.Algorithm != balancer.Maglev || len(s.Backends) != sc.Backends {
			t.Fatalf("service %d is %+v", i, s)
		}
		h := s.Health
		if h.Type != balancer.HealthTCP || h.Interval != sc.Interval || h.Timeout != sc.Timeout || h.Fall != fall || h.Rise != rise {
			t.Fatalf("service %d is checked by %+v", i, h)
		}
		for j, b := range s.Backends {
			at[b.Address]++
			want := map[int]int{4: 9, 300: 2}[i]
			if j > 0 || want == 0 {
				want = 1
			}
			if b.Address != lab.BackendAddr((i+j)%8) || b.Port != backendPort || int(b.Weight) != want {
				t.Errorf("backend %d of service %d is %+v, want weight %d", j, i, b, want)
			}
		}
	}
	if first, next := c.Spec.Services[0], c.Spec.Services[vips]; first.Address != vip || next.Address != vip || next.First != first.First+1 {
		t.Errorf("services 0 and %d are %s:%d and %s:%d, want the first address, and the next port", vips, first.Address, first.First, next.Address, next.First)
	}
	if len(at) != sc.Addresses {
		t.Errorf("%d addresses, want %d", len(at), sc.Addresses)
	}
	for a, n := range at {
		if got := sc.at(a); got != n {
			t.Errorf("%d backends at %s, want %d", got, a, n)
		}
	}
}

func TestSceneCheck(t *testing.T) {
	for _, c := range []struct {
		services, backends, addresses int
		wrong                         string
	}{
		{1000, 20, 40, ""}, {1, 2, 2, ""}, {maxServices, maxAddresses, maxAddresses, ""},
		{0, 20, 40, "services"}, {maxServices + 1, 20, 40, "services"},
		{10, 1, 40, "backends a service"}, {10, 41, 40, "backends a service"},
		{10, 2, 1, "addresses"}, {10, 2, maxAddresses + 1, "addresses"},
	} {
		err := Scene{Services: c.services, Backends: c.backends, Addresses: c.addresses}.Check()
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%d services of %d backends at %d addresses: %v, want %q", c.services, c.backends, c.addresses, err, c.wrong)
		}
	}
}

func TestScenes(t *testing.T) {
	large := Scene{Services: 1000, Backends: 20, Addresses: 40, Interval: 2 * time.Second, Timeout: time.Second}
	all := Scenes(large, false)
	if len(all) != 2 || all[0].String() != "100x20" || all[1] != large || all[0].Interval != large.Interval {
		t.Errorf("scenes of a full run: %+v", all)
	}
	if large.due() != 7500*time.Millisecond {
		t.Errorf("a dead address is due after %v: three checks, each 2 s after the one before, a second of which fails to the end, and 0.5 s", large.due())
	}
	large.Services = 1
	if all := Scenes(large, false); len(all) != 1 {
		t.Errorf("of one service there is no smaller scene: %+v", all)
	}
	if len(Scenes(large, true)) != 1 || tiny.Check() != nil {
		t.Errorf("a quick run: %+v, %v", tiny, tiny.Check())
	}
}
