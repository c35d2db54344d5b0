package control

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/egress"
	"github.com/afxlb/afxlb/internal/health"
)

func TestBackendDiesAndReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		r.expect("after the first probe", map[string]string{"web/a": "up", "web/b": "up"})
		w.answer(errRefused, "10.0.0.11")
		after(17 * time.Second)
		r.expect("after two bad answers at most", map[string]string{"web/a": "up", "web/b": "up"})
		after(14 * time.Second) // 31 s: fall × interval and the timeout
		r.expect("after three bad answers", map[string]string{"web/a": "down", "web/b": "up"})
		if f := r.flags("web", "a"); f&(balancer.Usable|balancer.Suspect) != 0 {
			t.Errorf("flags of a dead backend: %b", f)
		}
		w.answer(nil, "10.0.0.11")
		after(21 * time.Second)
		r.expect("after two good answers", map[string]string{"web/a": "up", "web/b": "up"})
		if n, m := r.logged("backend is down"), r.logged("backend is up"); n != 1 || m != 3 {
			t.Errorf("told %d times that one is down, %d times that one is up; want 1 and 3", n, m)
		}
	})
}

// Two services that ask the same of one address share a probe, and each its answer.
func TestOneProbeForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		spec := webSpec()
		for i := range 9 {
			s := spec.Services[0]
			s.Name, s.Address = fmt.Sprint("web", i), addr(fmt.Sprintf("192.0.2.%d", 100+i))
			s.Health.Fall = i + 1 // how answers are judged is each service's own
			spec.Services = append(spec.Services, s)
		}
		r := start(t, w, spec)
		after(95 * time.Second)
		r.expect("in the end", map[string]string{"web/a": "up", "web8/a": "up"})
		if n := w.probed("10.0.0.11:8080"); n < 9 || n > 12 {
			t.Errorf("%d probes in 95 s at an interval of 10 s", n)
		}
		w.answer(errRefused, "10.0.0.11")
		after(11 * time.Second)
		r.expect("after one bad answer", map[string]string{"web0/a": "down", "web/a": "up", "web8/a": "up"})
	})
}

// When nobody answers at all it is not known who is dead: clients wait, and after the
// warm-up all are trusted, without anything else to wake the reconciler.
func TestUnknownIsNotDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		spec.Services[0].Health.Timeout = 9 * time.Second
		w := newWire("10.0.0.11", "10.0.0.12")
		w.answers = nil
		r := start(t, w, spec)
		after(balancer.WarmUp - time.Second)
		r.expect("in the warm-up", map[string]string{"web/a": "warming", "web/b": "warming"})
		if s := r.kernel.table().Services[0]; !s.Warming || r.flags("web", "a")&balancer.Usable == 0 {
			t.Error("in the warm-up clients are not told to wait, or flows may not go on")
		}
		after(time.Second)
		r.expect("after it", map[string]string{"web/a": "up", "web/b": "up"})
		if r.logged("service has no backend in rotation") != 0 {
			t.Error("what is not known yet was told as a loss")
		}
	})
}

func TestLocalErrorsAreNoVerdict(t *testing.T) {
	for _, local := range []error{syscall.EMFILE, syscall.EADDRNOTAVAIL, syscall.ENETDOWN} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire("10.0.0.11", "10.0.0.12")
			r := start(t, w, webSpec())
			after(time.Second)
			w.answer(fmt.Errorf("dial: socket: %w", local), "10.0.0.11", "10.0.0.12")
			after(5 * time.Minute)
			r.expect("without descriptors", map[string]string{"web/a": "up", "web/b": "up"})
			const text = "probes fail for a reason of this machine's own, and are no verdict about any backend"
			if len(r.View().Troubles) != 1 || r.logged(text) != 1 {
				t.Errorf("%v: troubles %v, told %d times, want once", local, r.View().Troubles, r.logged(text))
			}
			w.answer(nil, "10.0.0.11", "10.0.0.12")
			after(30 * time.Second)
			if len(r.View().Troubles) != 0 || r.logged("over: "+text) != 1 {
				t.Errorf("%v: the end was not told: %v", local, r.View().Troubles)
			}
		})
	}
}

// A way that is missing is told with the backend, and not as trouble; nor does it hide
// what is trouble.
func TestNoRouteIsNoTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		local := func(err error) {
			r.observe(health.Result{Target: health.Target{}, Start: time.Now(), Err: fmt.Errorf("dial: %w", err), Local: true})
			after(0)
		}
		local(syscall.EHOSTUNREACH)
		local(syscall.ENETUNREACH)
		if n := len(r.View().Troubles); n != 0 {
			t.Errorf("%d troubles for want of a route", n)
		}
		local(syscall.EADDRNOTAVAIL)
		local(syscall.EMFILE)
		local(syscall.EMFILE)
		if got := r.View().Troubles; len(got) != 2 || r.logged(cannotAsk) != 2 {
			t.Errorf("troubles %v, told %d times; want each once", got, r.logged(cannotAsk))
		}
	})
}

// With fall 1 a backend is under suspicion until another one was asked: an interval more.
func TestSuspicionEndsSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		spec.Services[0].Health.Fall = 1
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, spec)
		after(time.Second)
		w.answer(errRefused, "10.0.0.11")
		after(21 * time.Second)
		if f := r.flags("web", "a"); f&(balancer.Usable|balancer.Suspect) != 0 {
			t.Errorf("flags of a dead backend: %b", f)
		}
		if n := r.logged("backend is down"); n != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// How long a backend may be unknown counts from when it came, not from when its service
// did; and one that is well but can't be reached is no help to those who wait.
func TestWarmUpIsEachBackendsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		spec.Services[0].Backends = spec.Services[0].Backends[:1]
		spec.Services[0].Health.Timeout = 9 * time.Second
		w := newWire("10.0.0.11", "10.0.0.13")
		delete(w.answers, addr("10.0.0.13"))
		r := start(t, w, spec)
		after(time.Minute)
		moved := spec
		moved.Services = []balancer.ServiceSpec{spec.Services[0]}
		moved.Services[0].Backends = []balancer.BackendSpec{{Name: "a", Address: addr("10.0.0.13"), Port: 8080, Weight: 1}}
		r.must(r.Reload(t.Context(), moved))
		after(balancer.WarmUp - time.Second)
		r.expect("a new backend of an old service", map[string]string{"web/a": "warming"})
		after(time.Second)
		r.expect("after its own warm-up", map[string]string{"web/a": "up"})
	})
}

func TestWarmUpBesideAnUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		spec.Services[0].Health.Timeout = 9 * time.Second
		w := newWire("10.0.0.11", "10.0.0.12")
		w.snapshot.Hops[addr("10.0.0.11")] = egress.Hop{Why: "route is by eth1"} // and yet it answers its check
		delete(w.answers, addr("10.0.0.12"))
		r := start(t, w, spec)
		after(balancer.WarmUp + time.Second)
		r.expect("after the warm-up", map[string]string{"web/a": "unreachable", "web/b": "up"})
	})
}

// A watcher that has not looked yet says nothing; what was known stays.
func TestNewWatcherKeepsTheHops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		r.must(r.Attach(t.Context(), nil))
		after(time.Minute)
		r.expect("without an interface", map[string]string{"web/a": "unreachable", "web/b": "unreachable"})
		again := newWire()
		r.must(r.Attach(t.Context(), again))
		r.expect("with a new one", map[string]string{"web/a": "up", "web/b": "up"})
		if f := r.flags("web", "a"); f&balancer.HasMAC == 0 {
			t.Errorf("flags %b: the MAC address is forgotten", f)
		}
	})
}

// Without a carrier nothing can be known of anybody: what was known stays, is told as
// out of reach, and all are probed at once when the link returns.
func TestLinkDownFreezes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		generation := r.View().Generation()
		w.answer(errors.New("i/o timeout"), "10.0.0.11", "10.0.0.12")
		down := time.Now()
		w.change(func(s *egress.Snapshot) {
			s.LinkUp, s.LinkWhy = false, "no carrier"
			for a, h := range s.Hops { // the kernel forgets its neighbours with the carrier
				h.Known, h.Asked = false, down
				s.Hops[a] = h
			}
		})
		after(10 * time.Minute)
		r.expect("with the link down", map[string]string{"web/a": "unreachable", "web/b": "unreachable"})
		if v := r.View(); v.Generation() != generation || v.Link.Up || v.Link.Why != "no carrier" {
			t.Errorf("generation %d, was %d; link %+v", v.Generation(), generation, v.Link)
		}
		before := w.probed("10.0.0.11:8080")
		w.answer(nil, "10.0.0.11", "10.0.0.12")
		w.change(func(s *egress.Snapshot) { s.LinkUp = true })
		after(150 * time.Millisecond)
		r.expect("right after its return", map[string]string{"web/a": "up", "web/b": "up"})
		if n := w.probed("10.0.0.11:8080"); n == before {
			t.Error("nobody was probed when the link returned")
		}
		if r.logged("the link is down; what is known of the backends stays") != 1 || r.logged("backend is unreachable") != 0 {
			t.Error("the link's loss was not told once, and as what it is")
		}
		after(reachGrace)
		r.expect("when nobody answers ARP after all", map[string]string{"web/a": "unreachable", "web/b": "unreachable"})
	})
}

// The first that is found to be down in an outage of all is a suspect already: nobody
// has answered since it began to fail, though the others still count as up.
func TestOutageIsSeenBeforeTheLastIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		w.answer(errRefused, "10.0.0.11", "10.0.0.12")
		for first := ""; first == ""; after(10 * time.Millisecond) {
			for _, name := range []string{"a", "b"} {
				if r.flags("web", name)&balancer.Usable == 0 {
					first = name
				}
			}
			if first != "" && r.flags("web", first)&balancer.Suspect == 0 {
				t.Errorf("%s was called dead by itself", first)
			}
		}
	})
}

// When all backends of a service die at one moment their flows stay, until each is
// known by itself again.
func TestOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		w.answer(errRefused, "10.0.0.11", "10.0.0.12")
		after(time.Minute)
		r.expect("in the outage", map[string]string{"web/a": "down", "web/b": "down"})
		for _, name := range []string{"a", "b"} {
			if r.flags("web", name)&balancer.Suspect == 0 {
				t.Errorf("%s is no suspect", name)
			}
		}
		if r.logged("service has no backend in rotation") != 1 {
			t.Error("the loss of the last backend was not told once")
		}
		w.answer(nil, "10.0.0.12")
		after(21 * time.Second)
		r.expect("with b back", map[string]string{"web/a": "down", "web/b": "up"})
		after(35 * time.Second)
		if r.flags("web", "a")&(balancer.Suspect|balancer.Usable) != 0 {
			t.Error("a has had its own chance, and its flows still stay")
		}
		if r.logged("service has a backend in rotation again") != 1 {
			t.Error("the recovery was not told once")
		}
	})
}

// The first verdict counts where another backend is up, in either way; where nobody is,
// the warm-up bounds the wait.
func TestFirstVerdict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		w.answer(errRefused, "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		r.expect("refused at first", map[string]string{"web/a": "up", "web/b": "down"})
		if f := r.flags("web", "b"); f&(balancer.Usable|balancer.Suspect) != 0 {
			t.Errorf("flags %b: mid-stream packets would go to the dead", f)
		}
		after(time.Minute)
		w.answer(nil, "10.0.0.12")
		after(21 * time.Second)
		r.expect("after its return", map[string]string{"web/a": "up", "web/b": "up"})
		if n := r.logged("backend is down"); n != 1 {
			t.Errorf("told %d times that b is down", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		w.answer(errRefused, "10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		r.expect("nobody up, in the warm-up", map[string]string{"web/a": "warming", "web/b": "warming"})
		after(balancer.WarmUp)
		r.expect("after it", map[string]string{"web/a": "down", "web/b": "down"})
		w.answer(nil, "10.0.0.12")
		after(11 * time.Second)
		r.expect("after the first good answer", map[string]string{"web/b": "up"})
	})
}

// Right after the link's return neighbours have to be found again: a bad answer is none.
func TestBadAnswersAfterTheLinksReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := webSpec()
		spec.Services[0].Health.Interval, spec.Services[0].Health.Timeout, spec.Services[0].Health.Fall = 200*time.Millisecond, 200*time.Millisecond, 2
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, spec)
		after(time.Second)
		w.change(func(s *egress.Snapshot) { s.LinkUp = false })
		after(time.Second)
		w.answer(errors.New("i/o timeout"), "10.0.0.11", "10.0.0.12")
		w.change(func(s *egress.Snapshot) { s.LinkUp = true })
		after(time.Second)
		r.expect("while neighbours are found", map[string]string{"web/a": "up", "web/b": "up"})
		after(reachGrace)
		r.expect("when they should be", map[string]string{"web/a": "down", "web/b": "down"})
	})
}

// A service that comes to backends that are known already has them at once.
func TestNewServiceOfKnownBackends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		w.answers = nil
		spec := webSpec()
		second := spec.Services[0]
		second.Name, second.Address = "second", addr("192.0.2.11")
		spec.Services = append(spec.Services, second)
		r.must(r.Reload(t.Context(), spec))
		r.expect("right after", map[string]string{"second/a": "up", "second/b": "up"})
	})
}

// The recovery is told, though what comes after the loss is at first not known.
func TestRecoveryByWayOfWarming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire("10.0.0.11", "10.0.0.12")
		r := start(t, w, webSpec())
		after(time.Second)
		hops := w.Snapshot().Hops
		w.change(func(s *egress.Snapshot) {
			s.Hops = map[netip.Addr]egress.Hop{addr("10.0.0.11"): {Why: "route is by eth1"}, addr("10.0.0.12"): {Why: "route is by eth1"}}
		})
		after(time.Minute)
		w.change(func(s *egress.Snapshot) {
			s.Hops = map[netip.Addr]egress.Hop{addr("10.0.0.11"): {Via: addr("10.0.0.11"), OnLink: true, Asked: time.Now()}}
		})
		after(time.Second)
		w.change(func(s *egress.Snapshot) { s.Hops = hops })
		after(time.Second)
		if n, m := r.logged("service has no backend in rotation"), r.logged("service has a backend in rotation again"); n != 1 || m != 1 {
			t.Errorf("the loss was told %d times, the recovery %d times", n, m)
		}
	})
}
