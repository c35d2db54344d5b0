package control

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/packet"
)

// mustChange makes a change of backend a of web.
func (r *rig) mustChange(action string, weight ...uint16) Changed {
	r.t.Helper()
	c := Change{Service: "web", Backend: "a", Action: action}
	if len(weight) > 0 {
		c.Weight = &weight[0]
	}
	done, err := r.Change(r.t.Context(), c)
	r.must(err)
	return done
}

// weight returns the effective weight of a backend of web in the table.
func (r *rig) weight(backend string) uint16 { return r.kernel.table().Backends[r.id(backend)].Weight }

// Each change is in force when it is answered, with what was before and the generation.
func TestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), webSpec())
		after(time.Second)
		for _, step := range []struct {
			action string
			weight []uint16
			told   string
			flags  balancer.Flags
			warns  string
		}{
			{Enable, nil, "up, weight 1 → up, weight 1", balancer.Usable | balancer.Up, "it was so already"},
			{Drain, nil, "up, weight 1 → drain, weight 0", balancer.Usable | balancer.Up, ""},
			{Drain, nil, "drain, weight 0 → drain, weight 0", balancer.Usable | balancer.Up, "it was so already"},
			{Reweigh, []uint16{7}, "drain, weight 0 → drain, weight 0 (7 once it is enabled)", balancer.Usable | balancer.Up, "once it is enabled"},
			{Enable, nil, "drain, weight 0 (7 once it is enabled) → up, weight 7", balancer.Usable | balancer.Up, ""},
			{Reweigh, nil, "up, weight 7 → up, weight 1", balancer.Usable | balancer.Up, ""},
			{Reweigh, []uint16{0}, "up, weight 1 → drain, weight 0", balancer.Usable | balancer.Up, ""},
			{Enable, nil, "drain, weight 0 → drain, weight 0", balancer.Usable | balancer.Up, "its weight is 0"},
			{Reweigh, []uint16{1}, "drain, weight 0 → up, weight 1", balancer.Usable | balancer.Up, ""},
			{Disable, nil, "up, weight 1 → disabled, weight 0", 0, ""},
			{Enable, nil, "disabled, weight 0 → warming, weight 1", balancer.Usable, ""},
		} {
			before := r.View().Generation()
			done := r.mustChange(step.action, step.weight...)
			what := step.action
			if got := Transition(&done.Old, &done.New); got != step.told {
				t.Errorf("%s %d: %s, want %s", what, step.weight, got, step.told)
			}
			if flags := r.flags("web", "a") & (balancer.Usable | balancer.Up | balancer.Suspect); flags != step.flags {
				t.Errorf("%s: the table has flags %b, want %b", what, flags, step.flags)
			}
			if w := r.weight("a"); w != done.New.Weight {
				t.Errorf("%s: the table has weight %d, and told is %d", what, w, done.New.Weight)
			}
			if text := strings.Join(done.Warnings, "; "); (text == "") != (step.warns == "") || !strings.Contains(text, step.warns) {
				t.Errorf("%s: warnings %q, want one with %q", what, text, step.warns)
			}
			if changes := done.Old.Weight != done.New.Weight || done.Old.State != done.New.State; done.Generation != r.kernel.table().Generation || changes != (done.Generation > before) {
				t.Errorf("%s: generation %d after %d, want the table's, a new one only if something changes", what, done.Generation, before)
			}
		}
		after(time.Second)
		r.expect("enabled", map[string]string{"web/a": "up", "web/b": "up"})
		if o := r.Overrides(); len(o) != 0 {
			t.Errorf("all is taken back, and there are overrides %+v", o)
		}
	})
}

// What the world takes back in the moment of a change is tried again; the change holds, and is
// answered so.
func TestChangeAsTheWorldChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), webSpec())
		after(time.Second)
		full := make([]netip.Addr, bpf.DefaultLimits().Addresses+1)
		for i := range full {
			full[i] = netip.AddrFrom4([4]byte{172, 16 + byte(i>>16), byte(i >> 8), byte(i)})
		}
		r.wire.mu.Lock()
		r.wire.snapshot.Local = full // nobody has looked yet
		r.wire.mu.Unlock()
		done := r.mustChange(Drain)
		if text := strings.Join(done.Warnings, "; "); !strings.Contains(text, bpf.ErrFull.Error()) || !strings.Contains(text, "tried again") || r.weight("a") != 0 || len(r.Overrides()) != 1 {
			t.Errorf("warnings %q, weight %d, overrides %v", text, r.weight("a"), r.Overrides())
		}
	})
}

// A disabled backend is not asked how it is, neither when it was known to be bad nor later;
// it comes back as one of which nothing is known, and by a good answer.
func TestDisabledIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		w.answer(errRefused, "10.0.0.11")
		after(time.Minute)
		r.expect("dead", map[string]string{"web/a": "down"})
		r.mustChange(Disable)
		asked := w.probed("10.0.0.11:8080")
		after(time.Minute)
		r.expect("disabled", map[string]string{"web/a": "disabled", "web/b": "up"})
		if n := w.probed("10.0.0.11:8080") - asked; n != 0 {
			t.Errorf("it was asked %d times while it was disabled", n)
		}
		if p := r.Probed(0, r.View().Services[0].Spec.Key()); len(p[0].Probes) != 0 || len(p[1].Probes) != 1 {
			t.Errorf("it is told to be asked: %+v", p)
		}
		w.answer(nil, "10.0.0.11")
		r.mustChange(Enable)
		after(2 * time.Second)
		r.expect("enabled", map[string]string{"web/a": "up"})
		if w.probed("10.0.0.11:8080") == asked {
			t.Error("it came up without a question")
		}
		for text, n := range map[string]int{"backend is disabled: it is as if it were not there": 1, "backend is down": 1, "backend is up": 3} {
			if r.logged(text) != n {
				t.Errorf("%q is logged %d times, want %d", text, r.logged(text), n)
			}
		}
	})
}

// One that another service asks all the same is known at once when it is enabled.
func TestEnabledHearsWhatOthersKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		other := webSpec().Services[0]
		other.Name, other.First, other.Last = "other", 81, 81
		spec.Services = append(spec.Services, other)
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), spec)
		after(time.Second)
		r.mustChange(Disable)
		after(time.Minute)
		r.expect("disabled in one service", map[string]string{"web/a": "disabled", "other/a": "up"})
		r.mustChange(Enable)
		r.expect("enabled", map[string]string{"web/a": "up", "other/a": "up"})
	})
}

// Who drains or is disabled is no help to the others: they are trusted, or not, as if it
// were not there.
func TestDisabledIsNoWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		delete(w.answers, addr("10.0.0.12"))
		r := start(t, w, webSpec())
		after(500 * time.Millisecond)
		r.expect("at first", map[string]string{"web/a": "up", "web/b": "warming"})
		if done := r.mustChange(Disable); !strings.Contains(strings.Join(done.Warnings, ""), "no backend in rotation") {
			t.Errorf("the last one is disabled with warnings %q", done.Warnings)
		}
		after(30 * time.Second)
		r.expect("nobody else", map[string]string{"web/a": "disabled", "web/b": "down"})
	})
}

// One that is disabled while nothing is known of it does not have others wait for it.
func TestDisabledIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		w.answers = nil
		spec := webSpec()
		spec.Services[0].Health.Timeout = 9 * time.Second // silence is no bad answer yet
		r := start(t, w, spec)
		r.mustChange(Disable)
		after(4 * time.Second)
		r.mustChange(Enable)
		r.mustChange(Disable)
		after(balancer.WarmUp - 4*time.Second)
		r.expect("after the warm-up", map[string]string{"web/a": "disabled", "web/b": "up"}) // for want of an answer
	})
}

// Without a link nothing is judged, but operators are obeyed.
func TestChangeWithoutALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		w.change(func(s *egress.Snapshot) { s.LinkUp = false })
		after(time.Second)
		r.mustChange(Drain)
		if r.weight("a") != 0 {
			t.Error("a drained backend has a weight")
		}
		r.mustChange(Disable)
		r.expect("no link", map[string]string{"web/a": "disabled", "web/b": "unreachable"})
		if flags := r.flags("web", "a"); flags&balancer.Usable != 0 {
			t.Errorf("disabled, with flags %b", flags)
		}
		r.mustChange(Enable)
		r.expect("no link", map[string]string{"web/a": "unreachable", "web/b": "unreachable"})
		w.change(func(s *egress.Snapshot) { s.LinkUp = true })
		after(10 * time.Second)
		r.expect("with a link", map[string]string{"web/a": "up", "web/b": "up"})
	})
}

// Weights of the consistent hash are honoured, and the answer says how much of it moves.
func TestChangeMovesSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		spec.Services[0].Algorithm = balancer.Maglev // a has 1 of 4
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), spec)
		after(time.Second)
		if done := r.mustChange(Reweigh, 3); done.Slots != 65537 || done.Moved < done.Slots/4 || done.Moved > done.Slots*26/100 {
			t.Errorf("from a quarter to a half %d of %d slots moved", done.Moved, done.Slots)
		}
		if done := r.mustChange(Drain); done.Moved < done.Slots/2 || done.Moved > done.Slots/2+1 {
			t.Errorf("without its half %d of %d slots moved", done.Moved, done.Slots)
		}
		if done := r.mustChange(Drain); done.Moved != 0 {
			t.Errorf("by nothing %d of %d slots moved", done.Moved, done.Slots)
		}
	})
}

// Least-conn compares by the weight that an operator gave.
func TestLeastConnSeesTheOverride(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := loaded(t)
		r.mustChange(Reweigh, 10)
		table := r.kernel.table()
		p := balancer.NewPicker(0, r.easing.loads)
		for range 100 { // 100 connections at weight 10 against 100 at 1 and 200 at 2
			id, ok := p.Pick(&table.Services[0], &packet.Key{})
			if !ok || id != r.id("a") {
				t.Fatalf("picked %d, want a", id)
			}
		}
	})
}

// What was to last, and is changed for a time, comes back.
func TestVolatileChangeOfWhatLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), webSpec())
		after(time.Second)
		r.mustChange(Reweigh, 5)
		r.mustChange(Drain)
		done, err := r.Change(t.Context(), Change{Service: "web", Backend: "a", Action: Enable, Volatile: true})
		r.must(err)
		if done.New.Weight != 5 || !slices.Equal(done.Warnings, []string{"after a restart it is drain, weight 5 again"}) {
			t.Errorf("weight %d, warnings %q", done.New.Weight, done.Warnings)
		}
		if k := r.Overrides().Kept(); len(k) != 1 || k[0].State != BackendDrain || *k[0].Weight != 5 {
			t.Errorf("kept is %+v", k)
		}
	})
}

// Operators and reloads come at the same time, and one after the other: what each operator has
// ordered last of his own backend is so in the end, and nobody is answered with somebody
// else's change.
func TestChangesAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		spec.Services[0].Backends = nil
		const operators = 4
		var alive []string
		for i := range byte(operators) {
			a := netip.AddrFrom4([4]byte{10, 0, 0, 20 + i})
			spec.Services[0].Backends = append(spec.Services[0].Backends, balancer.BackendSpec{Name: a.String(), Address: a, Weight: 1})
			alive = append(alive, a.String())
		}
		r := start(t, newWire(alive...), spec)
		after(time.Second)
		var busy sync.WaitGroup
		for i, name := range alive {
			busy.Go(func() {
				for n := range uint16(20) {
					weight := n + 2
					done, err := r.Change(t.Context(), Change{Service: "web", Backend: name, Action: Reweigh, Weight: &weight})
					if err != nil || done.New.Weight != weight || n > 0 && done.Old.Weight != weight-1 {
						t.Errorf("operator %d, order %d: %s, %v", i, n, Transition(&done.Old, &done.New), err)
					}
				}
			})
		}
		busy.Go(func() {
			for range 20 {
				again := spec
				again.Services = slices.Clone(spec.Services)
				if err := r.Reload(t.Context(), again); err != nil {
					t.Error(err)
				}
			}
		})
		busy.Wait()
		for _, name := range alive {
			if w := r.weight(name); w != 21 {
				t.Errorf("%s has weight %d in the end, want 21", name, w)
			}
		}
	})
}

func TestChangeNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		spec.Services[0].Backends = append(spec.Services[0].Backends, balancer.BackendSpec{Name: "b2", Address: addr("10.0.0.12"), Port: 81, Weight: 1},
			balancer.BackendSpec{Name: "six", Address: addr("2001:db8::1"), Weight: 1})
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), spec)
		for _, c := range []struct{ service, backend, want string }{
			{"web", "a", "a"}, {"web", "10.0.0.11:8080", "a"}, {"web", "10.0.0.11", "a"}, {"web", "10.0.0.12:80", "b"}, {"web", "10.0.0.12:81", "b2"},
			{"web", "[2001:db8::1]:80", "six"}, {"web", "2001:db8::1", "six"}, {"web", "[2001:db8::1]", "six"},
			{"web", "10.0.0.12", ""}, {"web", "10.0.0.11:80", ""}, {"web", "", ""}, {"", "a", ""}, {"nosuch", "a", ""}, {"web", "nosuch", ""},
		} {
			done, err := r.Change(t.Context(), Change{Service: c.service, Backend: c.backend, Action: Drain})
			if done.Backend != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, ErrUnknown) {
				t.Errorf("%s %s is %q, error %v; want %q", c.service, c.backend, done.Backend, err, c.want)
			}
		}
	})
}

// A change is an event, and one that changes nothing is none.
func TestChangeIsAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), webSpec())
		after(time.Second)
		r.mustChange(Drain)
		r.mustChange(Drain)
		r.mustChange(Enable)
		var over []bool
		list, _, _ := r.events.After(0)
		for _, e := range list {
			if e.Kind == events.Override {
				over = append(over, e.Over)
			}
		}
		if !slices.Equal(over, []bool{false, true}) {
			t.Errorf("events of the kind override are over: %v", over)
		}
	})
}

// Who takes the last one too many out is told at once what the service falls back on for that,
// and so is not who takes out another one.
func TestChangeTellsOfTheFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire(addressesOf("acs")...), fourSpec(balancer.MinHealthy{Count: 2}, balancer.Panic))
		after(2 * time.Second)
		for _, step := range []struct{ action, backend, want string }{ // b is down
			{Drain, "b", ""},
			{Enable, "b", ""},
			{Drain, "c", "service web: panic: "},
			{Drain, "a", "service web: backup backends take new flows"},
		} {
			done, err := r.Change(t.Context(), Change{Service: "web", Backend: step.backend, Action: step.action})
			r.must(err)
			if text := strings.Join(done.Warnings, "; "); (text == "") != (step.want == "") || !strings.HasPrefix(text, step.want) {
				t.Errorf("%s %s: warnings %q, want one with %q", step.action, step.backend, text, step.want)
			}
		}
	})
}
