package control

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
)

// seldomAsked is webSpec with checks that are seldom.
func seldomAsked() balancer.Spec {
	spec := webSpec()
	spec.Services[0].Health.Interval = time.Minute
	return spec
}

// A backend that refuses its clients is down long before its next probe; the probes decide.
func TestRefusalsAreFollowedByProbes(t *testing.T) {
	for name, knock := range map[string]func(*balancer.Loads, uint32){
		"it refused 3 connections in a row": (*balancer.Loads).Refuse, "3 SYNs in a row had no answer": (*balancer.Loads).Ignore,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire("10.0.0.11", "10.0.0.12")
			r := start(t, w, seldomAsked())
			after(time.Second)
			r.expect("before", map[string]string{"web/a": "up", "web/b": "up"})
			w.answer(errRefused, "10.0.0.11")
			id := r.id("a")
			for range inRow - 1 {
				knock(r.loads, id)
			}
			probes := w.probed("10.0.0.11:8080")
			after(2 * trafficEvery)
			if n := w.probed("10.0.0.11:8080"); n != probes {
				t.Errorf("%s: %d probes for less than that", name, n-probes)
			}
			knock(r.loads, id)
			after(2 * time.Second)
			r.expect(name, map[string]string{"web/a": "down", "web/b": "up"})
			if n := w.probed("10.0.0.11:8080"); n != probes+3 {
				t.Errorf("%s: %d probes, want fall", name, n-probes)
			}
			lines := r.log.FilterMessage("backend is down").All()
			if len(lines) != 1 || !strings.HasSuffix(lines[0].ContextMap()["reason"].(string), "refused, asked at once because "+name) {
				t.Errorf("%s: the log says %v", name, lines)
			}
			if p := r.Probed(0, r.View().Services[0].Spec.Key()); p[0].Suspicions != 1 || p[1].Suspicions != 0 {
				t.Errorf("%s: %+v", name, p)
			}
		})
	}
}

// Those few may be the first ones of all, and all that come.
func TestTheFirstRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, seldomAsked())
		after(time.Second)
		w.answer(errRefused, "10.0.0.11")
		for range inRow {
			r.loads.Refuse(r.id("a"))
		}
		after(2 * time.Second)
		r.expect("after three", map[string]string{"web/a": "down", "web/b": "up"})
	})
}

// Whoever makes a backend look dead that is not costs a probe each time, and less and less of
// these; nobody goes down by it.
func TestSuspicionsAreFewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, seldomAsked())
		after(time.Second)
		id, begin := r.id("a"), w.probed("10.0.0.11:8080")
		const minutes = 20
		for range minutes * 60 {
			for range 100 {
				r.loads.Refuse(id)
				r.loads.Ignore(id)
			}
			after(time.Second)
		}
		r.expect("under fire", map[string]string{"web/a": "up", "web/b": "up"})
		if extra := w.probed("10.0.0.11:8080") - begin - minutes; extra < 10 || extra > 10+minutes {
			t.Errorf("%d probes besides those that are due", extra)
		}
		if n := r.Probed(0, r.View().Services[0].Spec.Key())[0].Suspicions; n < 20 || n > 10+minutes {
			t.Errorf("%d suspicions", n)
		}
	})
}

// What clients say of others is nothing: of a service whose replies go another way, of one that
// is not asked, of a backend that is down, and of who has accepted somebody since.
func TestNoSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		spec := seldomAsked()
		spec.Services[0].Mode, spec.Services[0].Backends[0].Port = balancer.IPIP, 0
		r := start(t, w, spec)
		after(time.Second)
		probes := w.probed("10.0.0.11:80")
		for range 9 {
			r.loads.Refuse(r.id("a"))
		}
		after(time.Second)
		spec = seldomAsked()
		r.must(r.Reload(t.Context(), spec)) // the counts that there are are not of now
		after(time.Second)
		r.loads.Accept(r.id("a"))
		after(time.Second)
		if n := w.probed("10.0.0.11:80") - probes; n != 0 || r.Probed(0, spec.Services[0].Key())[0].Suspicions != 0 {
			t.Errorf("%d probes", n)
		}
		w.answer(errRefused, "10.0.0.12")
		after(4 * time.Minute)
		r.expect("b", map[string]string{"web/b": "down"})
		for range 9 {
			r.loads.Refuse(r.id("b"))
		}
		after(time.Second)
		if n := r.Probed(0, spec.Services[0].Key())[1].Suspicions; n != 0 {
			t.Errorf("one that is down was suspected %d times", n)
		}
	})
}

func TestSuspicionWaits(t *testing.T) {
	var s suspicion
	now := time.Unix(1000, 0)
	s.look(0, 0, now)
	var at []time.Duration
	for i := range int64(4 * 600) {
		now = now.Add(trafficEvery)
		if s.look(3+i, 0, now) {
			at = append(at, now.Sub(time.Unix(1000, 0)).Round(time.Second))
		}
	}
	if len(at) < 12 || at[1]-at[0] != time.Second || at[2]-at[1] != 2*time.Second || at[9]-at[8] != longestWait {
		t.Errorf("suspected at %v", at)
	}
	if now = now.Add(3 * longestWait); !s.look(1e6, 0, now) || s.wait != firstWait {
		t.Errorf("after a quiet time it waits for %v", s.wait)
	}
}

// While a backend's answers change it is asked at the fast interval, and then no more.
func TestFastInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		spec := webSpec()
		spec.Services[0].Health.FastInterval = 100 * time.Millisecond
		r := start(t, w, spec)
		after(time.Second)
		w.answer(errRefused, "10.0.0.11")
		after(11 * time.Second)
		r.expect("after one interval and two fast ones", map[string]string{"web/a": "down"})
		probes := w.probed("10.0.0.11:8080")
		after(5 * time.Second)
		if n := w.probed("10.0.0.11:8080"); n != probes {
			t.Errorf("%d probes without a doubt", n-probes)
		}
		w.answer(nil, "10.0.0.11")
		after(4 * time.Second)
		r.expect("after one interval and a fast one", map[string]string{"web/a": "up"})
	})
}

// The latest answers are shown, and when the next are due.
func TestProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, testSpec())
		key := testSpec().Services[0]
		if p := r.Probed(0, key.Key()); len(p) != 2 || len(p[0].Probes) != 1 || !p[0].Probes[0].Start.IsZero() {
			t.Errorf("before the first answer: %+v", p)
		}
		w.answer(errRefused, "10.0.0.12")
		after(time.Second)
		p := r.Probed(0, key.Key())
		if a, b := p[0].Probes[0], p[1].Probes[0]; a.Err != nil || b.Err == nil || a.Start.IsZero() || a.Address.String() != "10.0.0.11:8080" ||
			time.Until(a.Next) < 8*time.Second || time.Until(a.Next) > 10*time.Second {
			t.Errorf("%+v", p)
		}
		other := testSpec().Services[1]
		if p := r.Probed(9, key.Key()); len(p) != 2 {
			t.Errorf("of one that is elsewhere: %+v", p)
		}
		if p := r.Probed(0, other.Key()); len(p) != 1 || len(p[0].Probes) != 0 {
			t.Errorf("of one that is not asked: %+v", p)
		}
		other.First = 99
		if p := r.Probed(0, other.Key()); p != nil {
			t.Errorf("of nobody: %+v", p)
		}
	})
}
