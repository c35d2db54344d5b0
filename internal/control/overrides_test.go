package control

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/events"
)

// model is a slow and obvious account of one backend's overrides.
type model struct {
	here        bool // in the file
	file        int  // weight that the file gives it
	state, kept string
	weight      int // that an operator gave it; -1: none
	keptWeight  int
}

// reset is what a change of the file does.
func (m *model) reset() { m.state, m.kept, m.weight, m.keptWeight = "", "", -1, -1 }

func (m *model) change(c *Change) {
	weight := -1
	if c.Weight != nil && int(*c.Weight) != m.file {
		weight = int(*c.Weight)
	}
	switch c.Action {
	case Drain:
		m.state = "drain"
	case Disable:
		m.state = "disabled"
	case Enable:
		m.state = ""
	case Reweigh:
		m.weight = weight
	}
	switch {
	case c.Volatile:
	case c.Action == Reweigh:
		m.keptWeight = weight
	default:
		m.kept = m.state
	}
}

func (m *model) effective() int {
	switch {
	case m.state != "":
		return 0
	case m.weight >= 0:
		return m.weight
	}
	return m.file
}

// specOf is the file of some backends.
func specOf(backends []model) balancer.Spec {
	spec := webSpec()
	s := &spec.Services[0]
	s.Health.Type, s.Backends = balancer.HealthNone, nil
	for i, m := range backends {
		if m.here {
			s.Backends = append(s.Backends, balancer.BackendSpec{Name: fmt.Sprint("b", i), Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), Weight: uint16(m.file)})
		}
	}
	return spec
}

// Changes, reloads and restarts in any order: the table has the weights that the model says,
// and the View and what is kept agree with it.
func TestOverridesOverReloadsAndRestarts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		backends := make([]model, 3)
		for i := range backends {
			backends[i].here, backends[i].file = true, 1
			backends[i].reset()
		}
		begin := func(overrides Overrides) (*Reconciler, *kernel) {
			k := &kernel{}
			r := New(Options{Engine: k, Loads: balancer.NewLoads(), Spec: specOf(backends), Log: nopLog, Events: events.NewRecorder(nopLog), Overrides: overrides})
			r.alarm = time.NewTimer(time.Hour)
			if err := r.reconcile(); err != nil {
				t.Fatal(err)
			}
			return r, k
		}
		r, k := begin(nil)
		// edit changes the file, and returns whether that ends an override.
		edit := func() (ends int) {
			for i := range backends {
				m := &backends[i]
				had := m.state != "" || m.weight >= 0 || m.kept != "" || m.keptWeight >= 0
				was := *m
				if rapid.IntRange(0, 3).Draw(t, "edit") == 0 {
					m.file = rapid.IntRange(0, 3).Draw(t, "weight in the file")
				}
				if rapid.IntRange(0, 5).Draw(t, "take or give") == 0 {
					m.here = !m.here
				}
				if m.file != was.file || !m.here {
					if m.reset(); had {
						ends++
					}
				}
			}
			return ends
		}
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"change", "change", "change", "reload", "restart"}).Draw(t, "what") {
			case "change":
				i := rapid.IntRange(0, 2).Draw(t, "backend")
				c := Change{
					Service: "web", Backend: fmt.Sprint("b", i), Volatile: rapid.Bool().Draw(t, "volatile"),
					Action: rapid.SampledFrom([]string{Drain, Disable, Enable, Reweigh}).Draw(t, "action"),
				}
				if w := rapid.IntRange(-1, 3).Draw(t, "weight"); c.Action == Reweigh && w >= 0 {
					n := uint16(w)
					c.Weight = &n
				}
				if _, err := r.change(&c); (err == nil) != backends[i].here {
					t.Fatalf("change %+v: %v", c, err)
				}
				if backends[i].here {
					backends[i].change(&c)
				}
			case "reload":
				ends := edit()
				spec := specOf(backends)
				kept, ended := r.observed.overrides.under(&spec, nil)
				if len(ended) != ends {
					t.Fatalf("%d overrides have ended, want %d: %+v", len(ended), ends, ended)
				}
				if _, err := r.adopt(&spec, kept); err != nil {
					t.Fatal(err)
				}
			case "restart":
				text, err := json.Marshal(r.Overrides().Kept())
				if err != nil {
					t.Fatal(err)
				}
				for i := range backends {
					backends[i].state, backends[i].weight = backends[i].kept, backends[i].keptWeight
				}
				ends := edit() // while it is down
				var list []Kept
				if err := json.Unmarshal(text, &list); err != nil {
					t.Fatal(err)
				}
				spec := specOf(backends)
				kept, ended := Restore(&spec, list)
				if len(ended) != ends {
					t.Fatalf("%d overrides have ended, want %d: %+v", len(ended), ends, ended)
				}
				r, k = begin(kept)
			}
			holds(t, r, k, backends)
		}
	})
}

// holds compares what is in force with the model.
func holds(t *rapid.T, r *Reconciler, k *kernel, backends []model) {
	list, table := r.View().Services[0].Backends, k.table()
	for i, m := range backends {
		j := slices.IndexFunc(list, func(b BackendView) bool { return b.Name == fmt.Sprint("b", i) })
		if (j >= 0) != m.here {
			t.Fatalf("backend %d is in the View at %d, and in the file: %t", i, j, m.here)
		}
		if j < 0 {
			continue
		}
		b := &list[j]
		record := table.Backends[table.Services[0].Backends[j]]
		if int(b.Weight) != m.effective() || record.Weight != b.Weight {
			t.Fatalf("backend %d has weight %d in the View and %d in the table, want %d of %+v", i, b.Weight, record.Weight, m.effective(), m)
		}
		if (b.State == BackendDisabled) != (m.state == "disabled") || (record.Flags&balancer.Usable == 0) != (m.state == "disabled") {
			t.Fatalf("backend %d is %s with flags %b, want state %q", i, b.State, record.Flags, m.state)
		}
		if b.Override.State != m.state || b.Override.Weighted != (m.weight >= 0) {
			t.Fatalf("backend %d has the override %+v, want %+v", i, b.Override, m)
		}
	}
}

func TestSettingForPeople(t *testing.T) {
	for want, s := range map[string]Setting{
		"": {}, "drain": {State: BackendDrain}, "weight 0": {Weighted: true}, "disabled, weight 5": {State: BackendDisabled, Weighted: true, Weight: 5},
	} {
		if s.String() != want {
			t.Errorf("%+v is %q, want %q", s, s, want)
		}
	}
}

// What has ended is told by the names that there are, with the reason.
func TestEndedOverrides(t *testing.T) {
	spec := webSpec()
	s := &spec.Services[0]
	drained := Setting{State: BackendDrain}
	all := Overrides{}
	for i := range s.Backends {
		all[s.BackendKey(&s.Backends[i])] = Override{drained, drained, filed(&s.Backends[i])}
	}
	second := s.BackendKey(&s.Backends[1])
	all[second] = Override{Lasting: drained, Filed: all[second].Filed} // enabled until a restart
	s.Name, s.Backends[0].Name, s.Backends[0].Weight = "www", "first", 9
	s.Backends = s.Backends[:1]
	before := webSpec()
	want := []Ended{
		{"www", "first", "10.0.0.11:8080", drained, "the file has changed it: it said weight 1, and says weight 9"},
		{"web", "b", "10.0.0.12:80", drained, "the file does not have it any more"},
	}
	if _, ended := all.under(&spec, &before); !slices.Equal(ended, want) {
		t.Errorf("ended are %+v, want %+v", ended, want)
	}
	want[1].Service, want[1].Backend = "192.0.2.10:80/tcp", "10.0.0.12:80"
	if _, ended := all.under(&spec, nil); !slices.Equal(ended, want) { // after a restart
		t.Errorf("ended are %+v, want %+v", ended, want)
	}
}
