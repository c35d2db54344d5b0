package control

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
)

// Whatever operators, files and deaths have done, and in which order: who is taken out has no
// new flows from that moment on; a service keeps somebody in rotation as long as one of those
// whom it had is well and wanted; and in the end it is as if it had always been so.
func TestNoPathMatters(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			w := newWire(addressesOf("abcs")...)
			spec := fourSpec(balancer.MinHealthy{}, balancer.Panic)
			r := start(t, w, spec)
			after(time.Second)
			dead := map[string]bool{}
			for n := range 40 {
				had := r.rotation()
				what := r.anything(random, dead)
				r.whoMay(what)
				for range 8 {
					if s := &r.View().Services[0]; s.Fallback != FallbackDown && strings.ContainsFunc(had, func(b rune) bool { return wanted(s, string(b)) && !dead[string(b)] }) && r.rotation() == "" {
						t.Fatalf("seed %d, step %d, %s: had %q in rotation, and has nobody; dead are %v", seed, n, what, had, dead)
					}
					after(time.Duration(random.IntN(300)) * time.Millisecond)
				}
				if n%4 > 0 {
					continue
				}
				w.change(func(s *egress.Snapshot) { s.LinkUp = true })
				after(15 * time.Second)
				r.whoMay(what)
				s := &r.View().Services[0]
				if got, want := r.rotation(), settled(s, dead); got != want {
					t.Fatalf("seed %d, step %d, after %s: in rotation are %q, want %q; dead are %v, min-healthy %v, %v, fallback %q",
						seed, n, what, got, want, dead, s.Spec.MinHealthy, s.Spec.BelowMin, s.Fallback)
				}
			}
		})
	}
}

// anything happens.
func (r *rig) anything(random *rand.Rand, dead map[string]bool) string {
	r.t.Helper()
	v := &r.View().Services[0]
	b := v.Backends[random.IntN(len(v.Backends))].Name
	switch random.IntN(5) {
	case 0:
		dead[b] = true
		r.wire.answer(errRefused, addressesOf(b)...)
		return b + " dies"
	case 1:
		dead[b] = false
		r.wire.answer(nil, addressesOf(b)...)
		return b + " is well"
	case 2:
		up := random.IntN(2) > 0
		r.wire.change(func(s *egress.Snapshot) { s.LinkUp = up })
		return fmt.Sprintf("the link is up: %v", up)
	case 3:
		spec := fourSpec(balancer.MinHealthy{Count: uint16(random.IntN(3))}, balancer.BelowMinHealthy(random.IntN(3)))
		web := &spec.Services[0]
		if web.MinHealthy.Count == 0 {
			web.BelowMin = balancer.Panic
		}
		web.SlowStart = time.Duration(random.IntN(2)) * 5 * time.Second
		web.Algorithm = []balancer.Algorithm{balancer.RoundRobin, balancer.LeastConn, balancer.Maglev}[random.IntN(3)]
		if i := random.IntN(6); i < 3 {
			web.Backends = slices.Delete(web.Backends, i, i+1)
		} else {
			web.Backends[random.IntN(3)].Weight = uint16(random.IntN(3))
		}
		r.must(r.Reload(r.t.Context(), spec))
		return fmt.Sprintf("a reload, with %d backends, min-healthy %v, %v", len(web.Backends), web.MinHealthy, web.BelowMin)
	default:
		c := Change{Service: "web", Backend: b, Action: []string{Drain, Disable, Enable, Enable, Reweigh}[random.IntN(5)], Volatile: random.IntN(2) > 0}
		if c.Action == Reweigh {
			c.Weight = new(uint16(random.IntN(3)))
		}
		_, err := r.Change(r.t.Context(), c)
		r.must(err)
		return c.Action + " " + b
	}
}

// wanted reports whether a backend has a nominal weight.
func wanted(s *ServiceView, name string) bool {
	return slices.ContainsFunc(s.Backends, func(b BackendView) bool { return b.Name == name && b.Weight > 0 })
}

// whoMay holds who is in rotation against who may be.
func (r *rig) whoMay(after string) {
	r.t.Helper()
	s := &r.View().Services[0]
	for _, b := range r.rotation() {
		if !wanted(s, string(b)) {
			r.t.Fatalf("after %s: %c is in rotation without a weight", after, b)
		}
	}
}

// settled says who is to be in rotation when all is known, by OPERATIONS.md.
func settled(s *ServiceView, dead map[string]bool) string {
	var ordinary, healthy, backups string
	for i := range s.Backends {
		switch b := &s.Backends[i]; {
		case b.Weight == 0:
		case b.Backup && !dead[b.Name]:
			backups += b.Name
		case b.Backup:
		case dead[b.Name]:
			ordinary += b.Name
		default:
			ordinary, healthy = ordinary+b.Name, healthy+b.Name
		}
	}
	least := s.Spec.MinHealthy.Of(len(ordinary))
	if s.Spec.BelowMin != balancer.JoinBackup {
		least = min(least, len(ordinary))
	}
	below := len(healthy) < least
	switch {
	case below && s.Spec.BelowMin == balancer.TakeDown:
		return ""
	case healthy == "" && backups != "", below && s.Spec.BelowMin == balancer.JoinBackup:
		return healthy + backups
	case below && s.Spec.BelowMin == balancer.Panic:
		return ordinary
	}
	return healthy
}
