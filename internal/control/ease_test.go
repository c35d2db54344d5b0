package control

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// loadSpec is a service of a, b and c that goes by load; c has twice the weight.
func loadSpec() balancer.Spec {
	spec := webSpec()
	s := &spec.Services[0]
	s.Algorithm, s.Health.Interval = balancer.LeastConn, time.Second
	s.Backends[1].Weight = 1
	s.Backends = append(s.Backends, balancer.BackendSpec{Name: "c", Address: addr("10.0.0.13"), Weight: 2})
	return spec
}

// id returns the ID of a backend of the service web.
func (r *rig) id(backend string) uint32 {
	r.t.Helper()
	t := r.kernel.table()
	id := slices.Index(t.Refs, balancer.BackendRef{Service: "web", Backend: backend})
	if id < 0 {
		r.t.Fatalf("no backend %s", backend)
	}
	return uint32(id)
}

// handicap returns that of a backend of the service web.
func (r *rig) handicap(backend string) int64 { return r.easing.loads.Handicap(r.id(backend)) }

// connect sets how many live connections a backend has.
func (r *rig) connect(backend string, n int) {
	id := r.id(backend)
	r.easing.loads.AddLive(id, n-int(r.easing.loads.Live(id)))
}

// loaded is a rig with 100 connections for each weight.
func loaded(t *testing.T) *rig {
	r := start(t, newWire("10.0.0.11", "10.0.0.12", "10.0.0.13"), loadSpec())
	after(2 * time.Second)
	r.connect("a", 100)
	r.connect("b", 100)
	r.connect("c", 200)
	return r
}

func TestReturnIsSlow(t *testing.T) {
	for name, c := range map[string]struct {
		backend string
		address string
		want    int64 // the handicap at its return
	}{
		"of one": {"a", "10.0.0.11", 100}, "by weight": {"c", "10.0.0.13", 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := loaded(t)
				r.wire.answer(errRefused, c.address)
				after(5 * time.Second)
				r.expect("dead", map[string]string{"web/" + c.backend: "down"})
				r.connect(c.backend, 0)
				r.easing.loads.Refuse(r.id(c.backend))
				r.wire.answer(nil, c.address)
				for r.flags("web", c.backend)&balancer.Up == 0 {
					after(10 * time.Millisecond)
				}
				last := r.handicap(c.backend)
				if n := r.easing.loads.Refused(r.id(c.backend)); n != 0 {
					t.Errorf("it is back, and has refused %d", n)
				}
				if last < c.want*98/100 || last > c.want {
					t.Fatalf("it is back with a handicap of %d, want %d", last, c.want)
				}
				for s := range 20 {
					after(time.Second)
					want := c.want * int64(19-s) / 20
					if h := r.handicap(c.backend); h >= last || h > want+c.want/40 || h < want-c.want/40 {
						t.Errorf("after %d s it is %d, want about %d, and less than %d", s+1, h, want, last)
					} else {
						last = h
					}
				}
				after(time.Second)
				if h := r.handicap(c.backend); h != 0 || len(r.easing.returning) != 0 {
					t.Errorf("at last it is %d", h)
				}
			})
		})
	}
}

// Nobody has a handicap for what is no return: at the start, however late the answers are,
// while nobody else is there, or with the connections that it would have.
func TestWhoHasNoHandicap(t *testing.T) {
	none := func(t *testing.T, r *rig, when string) {
		t.Helper()
		for range 8 {
			after(500 * time.Millisecond)
			for _, b := range []string{"a", "b", "c"} {
				if h := r.handicap(b); h != 0 {
					t.Fatalf("%s: %s has a handicap of %d", when, b, h)
				}
			}
		}
	}
	t.Run("start", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWire("10.0.0.11", "10.0.0.12", "10.0.0.13")
			delete(w.answers, addr("10.0.0.12"))
			delete(w.answers, addr("10.0.0.13"))
			r := start(t, w, loadSpec())
			after(100 * time.Millisecond)
			r.connect("a", 100)
			w.answer(nil, "10.0.0.12", "10.0.0.13")
			none(t, r, "at the start")
			r.expect("then", map[string]string{"web/a": "up", "web/b": "up", "web/c": "up"})
		})
	})
	t.Run("outage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := loaded(t)
			all := []string{"10.0.0.11", "10.0.0.12", "10.0.0.13"}
			r.wire.answer(errRefused, all...)
			after(6 * time.Second)
			for _, b := range []string{"a", "b", "c"} {
				r.connect(b, 0)
			}
			r.wire.answer(nil, all...)
			none(t, r, "after an outage of all")
		})
	})
	t.Run("away for a moment", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := loaded(t)
			hop := r.wire.snapshot.Hops[addr("10.0.0.11")]
			r.wire.change(func(s *egress.Snapshot) { s.Hops[addr("10.0.0.11")] = egress.Hop{Why: "no route"} })
			after(time.Second)
			r.expect("away", map[string]string{"web/a": "unreachable"})
			r.wire.change(func(s *egress.Snapshot) { s.Hops[addr("10.0.0.11")] = hop })
			none(t, r, "with all its connections")
			r.connect("a", 40) // they were of before its death, as its clients notice now
			after(time.Second)
			if h := r.handicap("a"); h < 30 || h > 60 {
				t.Errorf("with 60 connections less it has a handicap of %d", h)
			}
		})
	})
}

// A reload that brings a backend, or gives one a weight again, is a return, and one that
// takes it is the end.
func TestReturnByReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := loaded(t)
		spec := loadSpec()
		spec.Services[0].Backends[0].Weight = 0
		r.must(r.Reload(t.Context(), spec))
		after(time.Second)
		r.connect("a", 0)
		r.must(r.Reload(t.Context(), loadSpec()))
		if h := r.handicap("a"); h < 98 || h > 100 {
			t.Errorf("in rotation again, a has a handicap of %d", h)
		}
		spec = loadSpec()
		spec.Services[0].Backends[2] = balancer.BackendSpec{Name: "d", Address: addr("10.0.0.14"), Weight: 1}
		r.wire.answer(nil, "10.0.0.14")
		r.wire.change(func(s *egress.Snapshot) {
			a := addr("10.0.0.14")
			s.Hops[a] = egress.Hop{OnLink: true, Via: a, Known: true, MAC: macOf(14)}
		})
		r.must(r.Reload(t.Context(), spec))
		after(1500 * time.Millisecond)
		if h := r.handicap("d"); h < 80 || h > 100 {
			t.Errorf("the new one has a handicap of %d", h)
		}
		d := r.id("d")
		spec.Services[0].Backends[0].Weight = 0
		spec.Services[0].Backends = spec.Services[0].Backends[:2]
		r.must(r.Reload(t.Context(), spec))
		if r.handicap("a") != 0 || r.easing.loads.Handicap(d) != 0 {
			t.Errorf("out of rotation: handicaps of %d and %d", r.handicap("a"), r.easing.loads.Handicap(d))
		}
	})
}

// Whoever picks does not go by load: nothing counts.
func TestNoHandicapWithoutLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := loadSpec()
		spec.Services[0].Algorithm = balancer.RoundRobin
		r := start(t, newWire("10.0.0.11", "10.0.0.12", "10.0.0.13"), spec)
		after(2 * time.Second)
		r.connect("b", 100)
		r.wire.answer(errRefused, "10.0.0.11")
		after(5 * time.Second)
		r.wire.answer(nil, "10.0.0.11")
		after(5 * time.Second)
		if h := r.handicap("a"); h != 0 || len(r.easing.back) != 0 {
			t.Errorf("a handicap of %d", h)
		}
		after(easeTime)
		r.must(r.Reload(t.Context(), loadSpec())) // and nobody is back since just now
		if h := r.handicap("a") + r.handicap("b") + r.handicap("c"); h != 0 {
			t.Errorf("handicaps of %d when the algorithm changes", h)
		}
	})
}
