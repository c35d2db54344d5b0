package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/events"
)

// What a reload does not change stays: labels, order and the way of asking are no part
// of what a backend is.
func TestReloadKeepsWhatItDoesNotChange(t *testing.T) {
	for name, edit := range map[string]func(*balancer.ServiceSpec){
		"nothing":       func(*balancer.ServiceSpec) {},
		"interval":      func(s *balancer.ServiceSpec) { s.Health.Interval = 3 * time.Second },
		"type":          func(s *balancer.ServiceSpec) { s.Health.Type, s.Health.Path = balancer.HealthHTTP, "/" },
		"rise and fall": func(s *balancer.ServiceSpec) { s.Health.Rise, s.Health.Fall = 5, 6 },
		"service name":  func(s *balancer.ServiceSpec) { s.Name = "other" },
		"backend names": func(s *balancer.ServiceSpec) { s.Backends[0].Name, s.Backends[1].Name = "x", "y" },
		"names swapped": func(s *balancer.ServiceSpec) { s.Backends[0].Name, s.Backends[1].Name = "b", "a" },
		"order":         func(s *balancer.ServiceSpec) { slices.Reverse(s.Backends) },
		"port written":  func(s *balancer.ServiceSpec) { s.Backends[1].Port = 80 },
		"algorithm":     func(s *balancer.ServiceSpec) { s.Algorithm = balancer.Maglev },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire("10.0.0.11", "10.0.0.12")
				r := start(t, w, webSpec())
				after(time.Second)
				ids := slices.Clone(r.kernel.table().Services[0].Backends)
				w.answers = nil // from now on nobody knows anything new
				spec := webSpec()
				edit(&spec.Services[0])
				r.must(r.Reload(t.Context(), spec))
				table := r.kernel.table()
				for _, id := range table.Services[0].Backends {
					if table.Backends[id].Flags&balancer.Up == 0 || !slices.Contains(ids, id) {
						t.Errorf("backend %d (were %v) has flags %b", id, ids, table.Backends[id].Flags)
					}
				}
				if n := r.logged("backend is down") + r.logged("backend is unreachable"); n != 0 || r.logged("backend is up") != 2 {
					t.Errorf("%d changes were told for the worse", n)
				}
			})
		})
	}
}

// A dying backend dies, however often the file is loaded in between.
func TestReloadStormHidesNoDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		w.answer(errRefused, "10.0.0.11")
		for range 31 {
			r.must(r.Reload(t.Context(), webSpec()))
			after(time.Second)
		}
		r.expect("after 31 reloads", map[string]string{"web/a": "down", "web/b": "up"})
	})
}

// A backend at another address is another one.
func TestReloadStartsAnewWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12", "10.0.0.13")
		r := start(t, w, webSpec())
		after(time.Second)
		delete(w.answers, addr("10.0.0.13"))
		spec := webSpec()
		spec.Services[0].Backends[1].Address = addr("10.0.0.13") // another server by the same name
		r.must(r.Reload(t.Context(), spec))
		r.expect("right after", map[string]string{"web/a": "up", "web/b": "warming"})
		w.answer(nil, "10.0.0.13")
		after(11 * time.Second)
		r.expect("after its first answer", map[string]string{"web/a": "up", "web/b": "up"})
		if !slices.Equal(w.wanted, []netip.Addr{addr("10.0.0.11"), addr("10.0.0.13")}) {
			t.Errorf("next hops are wanted for %v", w.wanted)
		}
	})
}

// A wish for more than there is room for is refused before anything was touched.
func TestRefusedReloadLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), webSpec())
		after(time.Second)
		before, tables := r.View(), len(r.kernel.tables)
		spec := webSpec()
		for i := range 3000 { // 32 blocks of ports each
			s := spec.Services[0]
			s.Name, s.Address = fmt.Sprint("s", i), netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
			s.First, s.Last, s.Health.Port = 1, 65534, 80
			spec.Services = append(spec.Services, s)
		}
		if err := Check(&spec); !errors.Is(err, bpf.ErrFull) {
			t.Errorf("Check: %v, want ErrFull", err)
		}
		if err := r.Reload(t.Context(), spec); !errors.Is(err, bpf.ErrFull) {
			t.Errorf("Reload: %v, want ErrFull", err)
		}
		after(time.Second)
		if len(r.kernel.tables) != tables || r.View().Generation() != before.Generation() || len(r.View().Services) != 1 {
			t.Errorf("%d tables, were %d; generation %d, was %d", len(r.kernel.tables), tables, r.View().Generation(), before.Generation())
		}
		r.expect("after the refusal", map[string]string{"web/a": "up", "web/b": "up"})
	})
}

// What the kernel refuses is said, and tried again until it is in force.
func TestCommitIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, newWire("10.0.0.11", "10.0.0.12"), webSpec())
		after(time.Second)
		r.kernel.set(errors.New("no memory"))
		spec := testSpec()
		if err := r.Reload(t.Context(), spec); !errors.Is(err, ErrCommit) {
			t.Errorf("Reload: %v, want ErrCommit", err)
		}
		after(time.Minute)
		if r.View().Failure == nil || len(r.View().Services) != 2 {
			t.Errorf("View: failure %v, %d services", r.View().Failure, len(r.View().Services))
		}
		tries := len(r.kernel.tables)
		if tries < 6 || tries > 12 {
			t.Errorf("%d tables in a minute, want some, at growing distances", tries)
		}
		r.kernel.set(nil)
		after(lastRetry)
		if r.View().Failure != nil {
			t.Errorf("it is not over: %v", r.View().Failure)
		}
		const text = "the table is not what it should be; it is tried again"
		if r.logged(text) != 1 || r.logged("over: "+text) != 1 {
			t.Errorf("told %d and %d times", r.logged(text), r.logged("over: "+text))
		}
	})
}

// Readers, reloads and news of all kinds at once; the last spec is in force in the end.
func TestConcurrentReloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				spec := webSpec()
				spec.Services[0].Backends[0].Address = netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
				if err := r.Reload(t.Context(), spec); err != nil {
					t.Errorf("reload %d: %v", i, err)
				}
			})
			all.Go(r.Notify)
			all.Go(func() {
				v := r.View()
				for _, s := range v.Services {
					if len(s.Backends) != len(s.Spec.Backends) {
						t.Error("a view contradicts itself")
					}
				}
			})
		}
		all.Wait()
		r.must(r.Reload(t.Context(), webSpec()))
		after(time.Second)
		r.expect("in the end", map[string]string{"web/a": "up", "web/b": "up"})
	})
}

// A reload before anything is served is in force, and no news about a link that nobody has
// looked at.
func TestReloadBeforeTheInterface(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newWire("10.0.0.11", "10.0.0.12"), webSpec())
		spec := webSpec()
		spec.Services[0].Name = "early"
		r.must(r.Reload(t.Context(), spec))
		if v := r.View(); v.Services[0].Spec.Name != "early" || v.Generation() != 1 || !v.Link.Up {
			t.Errorf("generation %d of %s, link %+v", v.Generation(), v.Services[0].Spec.Name, v.Link)
		}
		r.serve()
		after(time.Second)
		r.expect("when it is served", map[string]string{"early/a": "up", "early/b": "up"})
		if n := len(r.log.FilterMessageSnippet("the link is").All()); n != 0 {
			t.Errorf("the link was told of %d times", n)
		}
		r.must(r.Attach(t.Context(), nil))
		if v := r.View(); v.Link.Up || v.Link.Why != "the interface is away" {
			t.Errorf("link %+v of an interface that has gone", v.Link)
		}
	})
}

// A start that there is no room for has a View of what was desired all the same.
func TestNoRoomAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		for i := range 5000 {
			p := &w.snapshot.Ports[0]
			p.MACs = append(p.MACs, [6]byte{2, 0, 0, 1, byte(i >> 8), byte(i)})
		}
		r := newRig(t, w, webSpec())
		if err := r.Attach(t.Context(), w); !errors.Is(err, bpf.ErrFull) {
			t.Fatalf("Attach: %v, want ErrFull", err)
		}
		if v := r.View(); v.Spec == nil || v.Table != nil || !errors.Is(v.Failure, bpf.ErrFull) {
			t.Errorf("the view has the spec %v, the table %v and the failure %v", v.Spec, v.Table, v.Failure)
		}
	})
}

func TestStoppedReconciler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Options{Engine: &kernel{}, Loads: balancer.NewLoads(), Spec: webSpec(), Log: nopLog, Events: events.NewRecorder(nopLog)})
		ctx, stop := context.WithCancel(t.Context())
		stop()
		r.Run(ctx)
		if _, err := r.Reload(t.Context(), webSpec()); !errors.Is(err, ErrStopped) {
			t.Errorf("Reload of a stopped reconciler: %v", err)
		}
	})
	goleak.VerifyNone(t, goleak.IgnoreCurrent())
}
