package control

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// slowSpec is fourSpec with a slow-start.
func slowSpec(d time.Duration) balancer.Spec {
	spec := fourSpec(balancer.MinHealthy{}, 0)
	spec.Services[0].SlowStart = d
	return spec
}

// share returns that of a backend of the service web.
func (r *rig) share(backend string) int {
	r.t.Helper()
	s := &r.View().Services[0]
	for i := range s.Backends {
		if s.Backends[i].Name == backend {
			return s.Backends[i].Share
		}
	}
	r.t.Fatalf("no backend %s", backend)
	return 0
}

// A backend that is back has a share that grows with the time, up to all of it when the time
// is over, in few tables.
func TestSlowStart(t *testing.T) {
	for _, d := range []time.Duration{100 * time.Millisecond, time.Second, 7 * time.Second, 30 * time.Second, 10 * time.Minute} {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, newWire(addressesOf("abcs")...), slowSpec(d))
				after(2 * time.Second)
				if r.share("a") != 100 || r.share("s") != 0 {
					t.Fatalf("at the start a has a share of %d%%, and the backup of %d%%", r.share("a"), r.share("s"))
				}
				r.wire.answer(errRefused, addressesOf("a")...)
				after(2 * time.Second)
				r.wire.answer(nil, addressesOf("a")...)
				for r.share("a") == 0 {
					after(10 * time.Millisecond)
				}
				if all, _, _ := r.events.After(0); d > time.Second && all[len(all)-1].Reason == "" {
					t.Errorf("told %+v of its return", all[len(all)-1])
				}
				begin, tables, last := time.Now(), r.kernel.count(), r.share("a")
				if last > 10 && d > time.Second {
					t.Errorf("it begins with a share of %d%%", last)
				}
				for r.share("a") < 100 {
					after(20 * time.Millisecond)
					part := int(100 * time.Since(begin) / (d + stepOf(d)))
					if got := r.share("a"); got < last || d > time.Second && (got > part+10 || got < part-12) {
						t.Fatalf("after %v of %v its share is %d%%, and was %d%%", time.Since(begin), d, got, last)
					} else {
						last = got
					}
				}
				if took := time.Since(begin); took < d-stepOf(d) || took > d+2*stepOf(d) {
					t.Errorf("it took %v", took)
				}
				after(d)
				if n := r.kernel.count() - tables; n > balancer.RampSteps {
					t.Errorf("%d tables for it", n)
				}
			})
		})
	}
}

// Many that are back one after the other, of services with different times, have their steps
// at the same moments.
func TestSlowStartOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		spec, w := balancer.Spec{}, newWire()
		for i := range n {
			s := slowSpec(time.Duration(20+i%3) * time.Second).Services[0]
			s.Name, s.First, s.Last = fmt.Sprintf("web%d", i), uint16(1000+i), uint16(1000+i)
			for j := range s.Backends {
				s.Backends[j].Address = addr(fmt.Sprintf("10.1.%d.%d", i, j+1))
				hop := newWire("10.0.0.1").snapshot.Hops[addr("10.0.0.1")]
				w.snapshot.Hops[s.Backends[j].Address] = hop
				w.answers[s.Backends[j].Address] = nil
			}
			spec.Services = append(spec.Services, s)
		}
		r := start(t, w, spec)
		after(2 * time.Second)
		for i := range n {
			w.answer(errRefused, fmt.Sprintf("10.1.%d.1", i))
		}
		after(2 * time.Second)
		for i := range n {
			w.answer(nil, fmt.Sprintf("10.1.%d.1", i))
		}
		after(2 * time.Second) // all are back, in the course of a second
		tables := r.kernel.count()
		after(30 * time.Second)
		if n := r.kernel.count() - tables; n < 20 || n > 3*balancer.RampSteps {
			t.Errorf("%d tables for the ramps of %d backends", n, 200)
		}
		if v := r.View(); v.Services[0].Backends[0].Share != 100 || v.Services[199].Backends[0].Share != 100 {
			t.Error("some ramp has not ended")
		}
	})
}

// What begins a ramp, and what does not.
func TestWhoRamps(t *testing.T) {
	ramps := func(t *testing.T, r *rig, when, backend string, want bool) {
		t.Helper()
		after(0)
		if got := r.share(backend); (got < 50) != want {
			t.Errorf("%s: %s has a share of %d%%", when, backend, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWire(addressesOf("abcs")...)
		w.answer(errRefused, addressesOf("c")...)
		delete(w.answers, addr("10.0.0.12"))
		r := start(t, w, slowSpec(time.Minute))
		after(3 * time.Second)
		w.answer(nil, addressesOf("bc")...)
		after(3 * time.Second)
		ramps(t, r, "late at the start", "a", false)
		ramps(t, r, "down at the start", "c", true)
		after(2 * time.Minute)
		ramps(t, r, "at last", "c", false)

		spec := slowSpec(time.Minute)
		spec.Services[0].Backends[1].Weight = 0
		r.must(r.Reload(t.Context(), spec))
		after(3 * time.Second)
		r.must(r.Reload(t.Context(), slowSpec(time.Minute)))
		ramps(t, r, "with a weight again", "b", true)
		ramps(t, r, "untouched by that", "a", false)
		r.must(r.Reload(t.Context(), slowSpec(0)))
		ramps(t, r, "without slow-start", "b", false)
		spec = slowSpec(time.Minute)
		spec.Services[0].Backends[0].Name, spec.Services[0].Backends[0].Address = "d", addr("10.0.0.21")
		w.change(func(s *egress.Snapshot) { s.Hops[addr("10.0.0.21")] = s.Hops[addr("10.0.0.11")] })
		w.answer(nil, "10.0.0.21")
		r.must(r.Reload(t.Context(), spec))
		after(3 * time.Second)
		ramps(t, r, "new", "d", true)
		ramps(t, r, "back a while ago, and a reload after", "b", true)

		// When all are dead and the backup takes over, it has all: parts are of each other.
		w.answer(errRefused, "10.0.0.21", "10.0.0.12", "10.0.0.13")
		after(3 * time.Second)
		if got := r.rotation(); got != "s" {
			t.Errorf("in rotation are %q", got)
		}
		w.answer(nil, "10.0.0.12")
		after(3 * time.Second)
		if got := r.rotation(); got != "b" {
			t.Errorf("in rotation are %q", got)
		}
		ramps(t, r, "alone", "b", true)
	})
}

// In panic there is no time for a ramp; when it is over, who is back goes on from where it
// would be.
func TestNoRampInPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := slowSpec(40 * time.Second)
		spec.Services[0].MinHealthy = balancer.MinHealthy{Count: 2}
		r := start(t, newWire(addressesOf("abcs")...), spec)
		after(time.Second)
		r.wire.answer(errRefused, addressesOf("abc")...)
		after(2 * time.Second)
		r.wire.answer(nil, addressesOf("a")...)
		after(2 * time.Second)
		if got := r.View().Services[0].Fallback; got != FallbackPanic || r.share("a") != 100 || r.share("b") != 100 {
			t.Errorf("in %q a has %d%%, and b %d%%", got, r.share("a"), r.share("b"))
		}
		after(20 * time.Second)
		r.wire.answer(nil, addressesOf("b")...)
		after(2 * time.Second)
		if got := r.View().Services[0].Fallback; got != "" || r.share("a") < 40 || r.share("a") > 70 || r.share("b") > 20 {
			t.Errorf("in %q a has %d%%, and b %d%%", got, r.share("a"), r.share("b"))
		}
	})
}

// By load, a slow-start takes the place of the handicap.
func TestSlowStartByLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := slowSpec(time.Minute)
		spec.Services[0].Algorithm = balancer.LeastConn
		r := start(t, newWire(addressesOf("abcs")...), spec)
		after(time.Second)
		r.connect("b", 100)
		r.connect("c", 100)
		r.wire.answer(errRefused, addressesOf("a")...)
		after(2 * time.Second)
		r.easing.loads.Refuse(r.id("a"))
		r.wire.answer(nil, addressesOf("a")...)
		after(2 * time.Second)
		if h, n := r.handicap("a"), r.easing.loads.Refused(r.id("a")); h != 0 || n != 0 || r.share("a") > 10 {
			t.Errorf("it is back with a handicap of %d, %d refusals and %d%%", h, n, r.share("a"))
		}
	})
}

// Where a table takes long, ramps have fewer steps, and leave the time between these to all
// else; but they have some, and end.
func TestSlowStartWhereTablesTakeLong(t *testing.T) {
	for _, d := range []time.Duration{4 * time.Second, 20 * time.Second, time.Minute} {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, newWire(addressesOf("abcs")...), slowSpec(d))
				after(2 * time.Second)
				r.wire.answer(errRefused, addressesOf("a")...)
				after(2 * time.Second)
				const slow = 800 * time.Millisecond
				r.kernel.slow.Store(int64(slow))
				r.wire.answer(nil, addressesOf("a")...)
				for r.share("a") == 0 {
					after(10 * time.Millisecond)
				}
				begin, tables, last := time.Now(), r.kernel.count(), r.share("a")
				for r.share("a") < 100 {
					after(20 * time.Millisecond)
					if got := r.share("a"); got < last {
						t.Fatalf("after %v its share is %d%%, and was %d%%", time.Since(begin), got, last)
					} else {
						last = got
					}
				}
				took, n := time.Since(begin), r.kernel.count()-tables
				if took > d+stepOf(d)+restFactor*slow+slow+time.Second {
					t.Errorf("it took %v", took)
				}
				if busy := time.Duration(n) * slow; n < 3 || busy > max(4*slow, took/3) {
					t.Errorf("%d tables in %v", n, took)
				}
			})
		})
	}
}
