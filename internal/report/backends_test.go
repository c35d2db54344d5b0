package report

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/engine"
	"github.com/afxlb/afxlb/engine/conntrack"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/packet"
)

// balancing is a Source of so many services with so many backends each, all of which are
// well and have been asked once.
func balancing(t testing.TB, services, backends int) *Source {
	t.Helper()
	spec := &balancer.Spec{}
	facts := &balancer.Facts{Ports: make([]balancer.Port, 1), NextHops: map[netip.Addr]balancer.NextHop{}}
	v := &control.View{Spec: spec, Link: control.LinkView{Up: true}, Ports: []egress.Port{{Name: "eth0"}}}
	probed := control.Probed{Suspicions: 3}
	for i := range services {
		s := balancer.ServiceSpec{Name: fmt.Sprintf("s%d", i), Address: netip.AddrFrom4([4]byte{192, 0, 2, 10}), First: uint16(1000 + i), Last: uint16(1000 + i), Protocol: balancer.TCP}
		for j := range backends {
			a := netip.AddrFrom4([4]byte{10, 0, byte(j >> 8), byte(j)})
			s.Backends = append(s.Backends, balancer.BackendSpec{Name: fmt.Sprintf("b%d", j), Address: a, Port: 8080, Weight: 2})
			facts.NextHops[a] = balancer.NextHop{MAC: packet.MAC{2, 0, 0, 0, 0, byte(j % 2)}, OnLink: true}
		}
		spec.Services = append(spec.Services, s)
	}
	for i := range spec.Services {
		s := &spec.Services[i]
		of := control.ServiceView{Spec: s, Up: backends, Healthy: backends}
		for j := range s.Backends {
			b := &s.Backends[j]
			of.Backends = append(of.Backends, control.BackendView{Name: b.Name, Key: s.BackendKey(b), State: control.BackendUp, Check: "ok", Weight: b.Weight, Share: 100})
		}
		v.Services = append(v.Services, of)
	}
	loads := balancer.NewLoads()
	draft, err := balancer.NewCompiler(loads).Compile(spec, facts)
	if err != nil {
		t.Fatal(err)
	}
	v.Table = draft.Table
	loads.AddLive(v.Table.Services[0].Backends[0], 7)
	e, err := engine.New(engine.Config{MaxFlows: 100, Timeouts: conntrack.DefaultTimeouts(), Loads: loads, Queues: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	return &Source{
		Engine: e, Loads: loads, View: func() *control.View { return v },
		Probed: func(i int, _ balancer.ServiceKey) []control.Probed {
			list, probes := slices.Repeat([]control.Probed{probed}, backends), make([]control.Probe, backends)
			for j := range list {
				k := &v.Services[i].Backends[j].Key
				probes[j] = control.Probe{Type: balancer.HealthTCP, Address: netip.AddrPortFrom(k.Address, k.Port), Start: time.Unix(1000, 0), Took: time.Millisecond}
				list[j].Probes = probes[j : j+1]
			}
			return list
		},
	}
}

// All is told of each backend, and of all of them what can be counted.
func TestBackends(t *testing.T) {
	s, at := balancing(t, 2, 3), time.Unix(1000, 0)
	all := slices.Collect(s.Backends(""))
	if len(all) != 6 {
		t.Fatalf("%d backends, want 6", len(all))
	}
	want := api.Backend{
		Service: "s1", Name: "b1", Address: "10.0.0.1", Port: "8080", Weight: 2, FileWeight: 2, State: "up", Check: "ok", Share: 100,
		MAC: "02:00:00:00:00:01", Egress: "eth0", Suspicions: 3,
		Checks: []api.Check{{Type: "tcp", Address: "10.0.0.1:8080", Result: "ok", Took: time.Millisecond, At: &at}},
	}
	if d := cmp.Diff(want, all[4]); d != "" {
		t.Errorf("- want + got:\n%s", d)
	}
	if all[0].Live != 7 || all[0].MAC != "02:00:00:00:00:00" || all[2].MAC != all[0].MAC {
		t.Errorf("%+v, %+v", all[0], all[2])
	}
	if d := cmp.Diff(all[3:], slices.Collect(s.Backends("s1"))); d != "" {
		t.Errorf("of one service (- all + s1):\n%s", d)
	}
	if list := slices.Collect(s.Backends("none")); len(list) != 0 {
		t.Errorf("of no service: %+v", list)
	}
	for range s.Backends("") {
		break // what is not wanted any more is not made
	}
	i := 0
	for got := range s.Figures() {
		want := all[i]
		want.Address, want.Port, want.MAC, want.Egress, want.Checks, want.Suspicions = "", "", "", "", nil, 0
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("figures (- want + got):\n%s", d)
		}
		i++
	}
	if i != len(all) {
		t.Errorf("figures of %d backends, want %d", i, len(all))
	}
}

// What figures take does not grow with a service's backends.
func TestFiguresMakeNothingOfEachBackend(t *testing.T) {
	took := func(backends int) float64 {
		s := balancing(t, 4, backends)
		return testing.AllocsPerRun(10, func() {
			for range s.Figures() {
			}
		})
	}
	if few, many := took(2), took(500); many > few+10 {
		t.Errorf("of 8 backends they take %v allocations, of 2,000 %v", few, many)
	}
}

// BenchmarkBackends is all that is told of 1,000 services with 20 backends each.
func BenchmarkBackends(b *testing.B) {
	s := balancing(b, 1000, 20)
	b.Run("whole", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range s.Backends("") {
			}
		}
	})
	b.Run("figures", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range s.Figures() {
			}
		}
	})
}
