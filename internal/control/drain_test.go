package control

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// drainSpec is webSpec whose a has this weight, and so much time to drain.
func drainSpec(weight uint16, drainTime time.Duration) balancer.Spec {
	spec := webSpec()
	spec.Services[0].Backends[0].Weight, spec.Services[0].DrainTime = weight, drainTime
	return spec
}

// A backend is drained when its time is over, told by nobody, and not earlier. What a
// reload changes besides begins nothing anew; another time counts from the same moment.
func TestDrainTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), drainSpec(1, time.Minute))
		drained := func(when string, want bool) {
			t.Helper()
			after(0)
			if got := r.flags("web", "a")&balancer.Drained != 0; got != want {
				t.Errorf("%s: drained is %t", when, got)
			}
			if r.flags("web", "b")&balancer.Drained != 0 {
				t.Errorf("%s: the other one is drained", when)
			}
		}
		after(time.Hour)
		drained("with a weight", false)
		r.must(r.Reload(t.Context(), drainSpec(0, time.Minute)))
		after(40 * time.Second)
		drained("after two thirds of the time", false)
		r.must(r.Reload(t.Context(), drainSpec(0, time.Minute)))
		after(19 * time.Second)
		drained("a second before", false)
		after(2 * time.Second)
		drained("after the time", true)
		r.must(r.Reload(t.Context(), drainSpec(0, 2*time.Minute)))
		drained("with more time", false)
		after(time.Minute)
		drained("after that", true)
		r.must(r.Reload(t.Context(), drainSpec(2, 2*time.Minute)))
		drained("in rotation again", false)
		r.must(r.Reload(t.Context(), drainSpec(0, 0)))
		drained("with no time at all", true)
	})
}

// Time passes without a carrier too, and one that is drained from the start has as much.
func TestDrainTimeWithoutALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, drainSpec(0, time.Minute))
		after(30 * time.Second)
		w.change(func(s *egress.Snapshot) { s.LinkUp = false })
		after(29 * time.Second)
		if r.flags("web", "a")&balancer.Drained != 0 {
			t.Error("drained too early")
		}
		after(2 * time.Second)
		if r.flags("web", "a")&balancer.Drained == 0 {
			t.Error("not drained while the link is down")
		}
	})
}
