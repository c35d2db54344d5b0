package control

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/health"
)

// Whatever has happened, and whatever a change is of: a service of which nothing has changed
// keeps its group, and what is known by that is what is known by one that is made anew.
func TestRegroup(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			spec := fourServices()
			r := New(Options{Engine: &kernel{}, Loads: balancer.NewLoads(), Spec: spec, Log: nopLog, Events: events.NewRecorder(nopLog)})
			defer r.prober.Close()
			r.alarm = time.NewTimer(time.Hour)
			w := newWire(addressesOf("abcs")...)
			r.observed.hops = w
			o, overrides, kept, anew := &r.observed, Overrides{}, 0, 0
			for step := range 150 {
				r.happens(random, w)
				time.Sleep(time.Duration(random.IntN(800)) * time.Millisecond)
				if random.IntN(3) > 0 {
					if err := r.reconcile(); err != nil {
						t.Fatal(err)
					}
					continue
				}
				spec = copyOf(spec)
				what := rewrite(random, &spec)
				key := spec.Services[0].BackendKey(&spec.Services[0].Backends[0])
				if random.IntN(4) == 0 {
					overrides = overrides.with(key, Override{Setting: Setting{State: []string{"", BackendDrain, BackendDisabled}[random.IntN(3)]}})
				}
				now := time.Now()
				slow := o.anew(&spec, overrides, now)
				want := o.assess(slow, now)
				groups := o.regroup(&spec, overrides, now)
				if got := o.assess(groups, now); !reflect.DeepEqual(got, want) {
					t.Fatalf("seed %d, step %d, %s: assessed as\n%+v, and anew as\n%+v", seed, step, what, got, want)
				}
				had := o.groups
				for i, g := range groups {
					if kept++; !slices.Contains(had, g) {
						kept--
						anew++
					}
					if a, b := known(g), known(slow[i]); !reflect.DeepEqual(a, b) {
						t.Fatalf("seed %d, step %d, %s: of service %d it is known\n%+v, and anew\n%+v", seed, step, what, i, a, b)
					}
				}
				other := observed{}
				other.install(&spec, slow)
				if o.install(&spec, groups); !reflect.DeepEqual(asks(o), asks(&other)) {
					t.Fatalf("seed %d, step %d, %s: asked for are %v, and anew %v", seed, step, what, asks(o), asks(&other))
				}
				for i, g := range o.groups {
					if g.spec != &spec.Services[i] {
						t.Fatalf("seed %d, step %d, %s: service %d is of a former Spec", seed, step, what, i)
					}
				}
				o.overrides, r.spec = overrides, &spec
				if err := r.reconcile(); err != nil {
					t.Fatal(err)
				}
			}
			if kept < 50 || anew < 20 {
				t.Errorf("seed %d: %d groups were kept, and %d made anew", seed, kept, anew)
			}
		})
	}
}

// fourServices are such as share backends, of all kinds of checks and fallbacks.
func fourServices() (spec balancer.Spec) {
	for i := range 4 {
		s := fourSpec(balancer.MinHealthy{Percent: 50}, balancer.BelowMinHealthy(i%3)).Services[0]
		s.Name, s.Address = fmt.Sprint("s", i), netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)})
		s.SlowStart, s.Algorithm = time.Duration(i)*5*time.Second, balancer.Maglev
		s.Mode = []balancer.Mode{balancer.NAT, balancer.DSR, balancer.NAT, balancer.NAT}[i]
		spec.Services = append(spec.Services, s)
	}
	spec.Services[3].Health = balancer.HealthSpec{Type: balancer.HealthNone}
	return spec
}

// happens has something happen to the world.
func (r *Reconciler) happens(random *rand.Rand, w *wire) {
	a := addr(addressesOf("abcs")[random.IntN(4)])
	switch random.IntN(8) {
	case 0:
		w.change(func(s *egress.Snapshot) { s.LinkUp = random.IntN(3) > 0 })
	case 1:
		w.change(func(s *egress.Snapshot) {
			h := s.Hops[a]
			if h.Known = random.IntN(3) > 0; random.IntN(4) == 0 {
				h.Why = "no route"
			} else {
				h.Why = ""
			}
			s.Hops[a] = h
		})
	default:
		targets := r.observed.targets()
		for range 5 {
			var err error
			if random.IntN(3) == 0 {
				err = errRefused
			}
			r.note(health.Result{Target: targets[random.IntN(len(targets))], Start: time.Now(), Err: err})
		}
	}
}

// rewrite changes the file, or nothing.
func rewrite(random *rand.Rand, spec *balancer.Spec) string {
	s := &spec.Services[random.IntN(len(spec.Services))]
	b := &s.Backends[random.IntN(len(s.Backends))]
	switch random.IntN(9) {
	case 0:
		b.Weight = uint16(random.IntN(3))
	case 1:
		b.Name += "'"
	case 2:
		b.MaxConns++
	case 3:
		s.Health.Rise = 1 + random.IntN(3)
	case 4:
		s.SlowStart = time.Duration(random.IntN(20)) * time.Second
	case 5:
		s.Name += "'"
	case 6:
		s.Backends[0], s.Backends[1] = s.Backends[1], s.Backends[0]
	case 7:
		spec.Services[0], spec.Services[2] = spec.Services[2], spec.Services[0]
	default:
		spec.Neighbours = map[netip.Addr]balancer.StaticHop{b.Address: {MAC: macOf(byte(random.IntN(3)))}}
		return "another neighbour"
	}
	return fmt.Sprintf("%+v", *s)
}

// anew is regroup without its short cut.
func (o *observed) anew(spec *balancer.Spec, overrides Overrides, now time.Time) (groups []*group) {
	for i := range spec.Services {
		s := &spec.Services[i]
		var was *group
		for _, g := range o.groups {
			if g.spec.Key() == s.Key() {
				was = g
			}
		}
		g := o.newGroup(s, was, overrides, now)
		g.static = spec.Neighbours
		groups = append(groups, g)
	}
	return groups
}

// known is what is known by a group, but for what each look finds out again before it counts.
func known(g *group) (list []any) {
	all := *g
	all.spec, all.checks, all.candidates = nil, nil, nil
	list = append(list, all)
	for _, k := range g.checks {
		one := *k
		one.group, one.poor = nil, false
		list = append(list, one)
	}
	return list
}

// asks says how many want to know of each target.
func asks(o *observed) map[health.Target]int {
	m := map[health.Target]int{}
	for t, list := range o.askers {
		m[t] = len(list)
	}
	return m
}
