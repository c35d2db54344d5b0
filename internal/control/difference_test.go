package control

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
)

// summary is a difference in a few words: what is new, gone, and there as it was, with
// connections and slots where there are any.
func summary(d *Difference) string {
	var words []string
	sign := func(was, is bool) string {
		switch {
		case !was:
			return "+"
		case !is:
			return "-"
		}
		return ""
	}
	for i := range d.Services {
		s := &d.Services[i]
		spec := s.Is
		if spec == nil {
			spec = s.Was
		}
		word := sign(s.Was != nil, s.Is != nil) + spec.Name
		if s.Slots != 0 {
			word += fmt.Sprintf(" %d%%", (s.Moved*100+s.Slots/2)/s.Slots)
		}
		words = append(words, word)
		for j := range s.Backends {
			b := &s.Backends[j]
			word := sign(b.Was != nil, b.Is != nil) + b.Key.Address.String()
			if b.Live != 0 {
				word += fmt.Sprintf(" (%d)", b.Live)
			}
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// What a reload says that it changes, a plan has said before, and that changed nothing.
func TestDifference(t *testing.T) {
	mag := webSpec()
	mag.Services[0].Algorithm = balancer.Maglev
	mag.Services[0].Backends = []balancer.BackendSpec{
		{Name: "a", Address: addr("10.0.0.11"), Port: 8080, Weight: 1}, {Name: "b", Address: addr("10.0.0.12"), Weight: 1},
	}
	for name, test := range map[string]struct {
		edit func(*balancer.Spec)
		want string
	}{
		"nothing":          {func(*balancer.Spec) {}, "web 0%, 10.0.0.11 (5), 10.0.0.12 (7)"},
		"names":            {func(s *balancer.Spec) { s.Services[0].Name, s.Services[0].Backends[0].Name = "www", "x" }, "www 0%, 10.0.0.11 (5), 10.0.0.12 (7)"},
		"order":            {func(s *balancer.Spec) { slices.Reverse(s.Services[0].Backends) }, "web 0%, 10.0.0.12 (7), 10.0.0.11 (5)"},
		"a backend less":   {func(s *balancer.Spec) { s.Services[0].Backends = s.Services[0].Backends[:1] }, "web 50%, 10.0.0.11 (5), -10.0.0.12 (7)"},
		"drained":          {func(s *balancer.Spec) { s.Services[0].Backends[1].Weight = 0 }, "web 50%, 10.0.0.11 (5), 10.0.0.12 (7)"},
		"all drained":      {func(s *balancer.Spec) { s.Services[0].Backends[0].Weight, s.Services[0].Backends[1].Weight = 0, 0 }, "web 100%, 10.0.0.11 (5), 10.0.0.12 (7)"},
		"another address":  {func(s *balancer.Spec) { s.Services[0].Backends[1].Address = addr("10.0.0.13") }, "web 67%, 10.0.0.11 (5), +10.0.0.13, -10.0.0.12 (7)"},
		"another hash":     {func(s *balancer.Spec) { s.Services[0].Algorithm = balancer.SourceHash }, "web, 10.0.0.11 (5), 10.0.0.12 (7)"},
		"no hash":          {func(s *balancer.Spec) { s.Services[0].Algorithm = balancer.LeastConn }, "web, 10.0.0.11 (5), 10.0.0.12 (7)"},
		"no service":       {func(s *balancer.Spec) { s.Services = nil }, "-web, -10.0.0.11 (5), -10.0.0.12 (7)"},
		"another port":     {func(s *balancer.Spec) { s.Services[0].First, s.Services[0].Last = 81, 81 }, "+web, +10.0.0.11, +10.0.0.12, -web, -10.0.0.11 (5), -10.0.0.12 (7)"},
		"one more service": {func(s *balancer.Spec) { s.Services = append(s.Services, testSpec().Services[1]) }, "web 0%, 10.0.0.11 (5), 10.0.0.12 (7), +direct, +10.0.0.11"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, newWire("10.0.0.11", "10.0.0.12"), mag)
				after(time.Second)
				for i, id := range r.kernel.table().Services[0].Backends {
					r.loads.AddLive(id, 5+2*i)
				}
				before, tables, probed := r.View(), r.kernel.count(), slices.Clone(r.wire.wanted)
				spec := copyOf(mag)
				test.edit(&spec)
				plan, err := r.Preview(t.Context(), spec)
				r.must(err)
				if got := summary(plan); got != test.want {
					t.Errorf("planned: %s\nwant:    %s", got, test.want)
				}
				after(0)
				if r.View() != before || r.kernel.count() != tables || plan.Generation != before.Generation() || !slices.Equal(r.wire.wanted, probed) {
					t.Error("a plan has changed something")
				}
				done, err := r.Reconciler.Reload(t.Context(), spec)
				r.must(err)
				if got := summary(done); got != test.want {
					t.Errorf("done: %s\nwant: %s", got, test.want)
				}
				if done.Generation <= before.Generation() || done.Generation != r.View().Generation() {
					t.Errorf("generation %d after %d, and %d is in force", done.Generation, before.Generation(), r.View().Generation())
				}
			})
		})
	}
}

// copyOf is a spec whose services and backends can be changed.
func copyOf(s balancer.Spec) balancer.Spec {
	s.Services = slices.Clone(s.Services)
	for i := range s.Services {
		s.Services[i].Backends = slices.Clone(s.Services[i].Backends)
	}
	return s
}

// What a reload would be refused for, its plan is.
func TestPreviewOfTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), webSpec())
		spec := webSpec()
		for i := range 3000 {
			s := spec.Services[0]
			s.Name, s.Address = fmt.Sprint("s", i), netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
			s.First, s.Last, s.Health.Port = 1, 65534, 80
			spec.Services = append(spec.Services, s)
		}
		if d, err := r.Preview(t.Context(), spec); d != nil || !errors.Is(err, bpf.ErrFull) {
			t.Errorf("Preview: %v, want ErrFull", err)
		}
	})
}

// Of operators' changes those stay of which the file says what it said before.
func TestDifferenceUnderOverrides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), webSpec())
		after(time.Second)
		for _, name := range []string{"a", "b"} {
			_, err := r.Change(t.Context(), Change{Service: "web", Backend: name, Action: Drain})
			r.must(err)
		}
		spec := webSpec()
		spec.Services[0].Backends[1].Weight = 7
		plan, err := r.Preview(t.Context(), spec)
		r.must(err)
		done, err := r.Reconciler.Reload(t.Context(), spec)
		r.must(err)
		for what, d := range map[string]*Difference{"planned": plan, "done": done} {
			b := d.Services[0].Backends
			if b[0].Override != (Setting{State: BackendDrain}) || b[1].Override != (Setting{}) || len(d.Ended) != 1 || d.Ended[0].Backend != "b" {
				t.Errorf("%s: of a stays %v, of b %v, and %+v have ended", what, b[0].Override, b[1].Override, d.Ended)
			}
		}
	})
}

// Before there is anything to compare with there is a difference all the same.
func TestDifferenceBeforeTheFirstTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newWire("10.0.0.11", "10.0.0.12"), webSpec())
		d, err := r.Preview(t.Context(), testSpec())
		r.must(err)
		if got, want := summary(d), "web, 10.0.0.11, 10.0.0.12, +direct, +10.0.0.11"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
