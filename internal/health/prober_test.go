package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errRefused = errors.New("refused")

// target returns a tcp target that is probed every 10 s for at most 2 s.
func target(name string) Target {
	return Target{
		Ref:     balancer.BackendRef{Service: "s", Backend: name},
		Address: netip.MustParseAddrPort("192.0.2.1:80"),
		Spec:    balancer.HealthSpec{Type: balancer.HealthTCP, Interval: 10 * time.Second, Timeout: 2 * time.Second},
	}
}

// scene is a Prober in a bubble of its own time, with what it dialled and
// reported. The dial function may be changed between probes.
type scene struct {
	*Prober
	mu      sync.Mutex
	dialled []time.Time
	results []Result
	inside  atomic.Int32 // dials under way
	crowded atomic.Bool  // there were two at once
}

func newScene(t *testing.T, dial func(ctx context.Context) error) *scene {
	s := new(scene)
	s.Prober = New(zap.NewNop(), func(r Result) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.results = append(s.results, r)
	}, WithDial(func(ctx context.Context, network, address string) (net.Conn, error) {
		if s.inside.Add(1) > 1 {
			s.crowded.Store(true)
		}
		defer s.inside.Add(-1)
		s.mu.Lock()
		s.dialled = append(s.dialled, time.Now())
		s.mu.Unlock()
		if network != "tcp" || address != "192.0.2.1:80" {
			t.Errorf("dial %s %s", network, address)
		}
		if err := dial(ctx); err != nil {
			return nil, err
		}
		here, there := net.Pipe()
		there.Close()
		return here, nil
	}))
	return s
}

// count returns how many results there are once all goroutines wait.
func (s *scene) count() int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.results)
}

func open(context.Context) error { return nil }

func never(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestProbesComeAtTheirInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		start := time.Now()
		s.Set([]Target{target("a")})
		time.Sleep(10 * time.Minute)
		s.Close()
		if first := s.dialled[0].Sub(start); first > time.Millisecond {
			t.Errorf("the only target's first probe came after %v, want at once", first)
		}
		distinct := map[time.Duration]bool{}
		for i := 1; i < len(s.dialled); i++ {
			d := s.dialled[i].Sub(s.dialled[i-1])
			if d < 9*time.Second || d > 11*time.Second {
				t.Errorf("probe %d came %v after the last, want 10 s within a tenth", i, d)
			}
			distinct[d] = true
		}
		if len(s.dialled) < 54 || len(distinct) < 10 {
			t.Errorf("%d probes at %d different intervals in 10 minutes: want about 60, jittered", len(s.dialled), len(distinct))
		}
		if len(s.results) != len(s.dialled) {
			t.Errorf("%d results of %d probes", len(s.results), len(s.dialled))
		}
	})
}

func TestFirstProbesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		var targets []Target
		for i := range 500 {
			targets = append(targets, target(fmt.Sprint(i)))
		}
		s.Set(targets)
		time.Sleep(250 * time.Millisecond)
		half := s.count()
		time.Sleep(250 * time.Millisecond)
		if all := s.count(); all != 500 || half < 150 || half > 350 {
			t.Errorf("%d of 500 targets probed after 250 ms, %d after 500 ms: want about half, and all", half, all)
		}
		s.Close()
	})
}

func TestSlowProbesNeverOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, never)
		a := target("a")
		a.Spec.Timeout = a.Spec.Interval
		s.Set([]Target{a})
		time.Sleep(10 * time.Minute)
		s.Close()
		if s.crowded.Load() {
			t.Error("two probes of one target were under way at once")
		}
		if len(s.results) < 54 {
			t.Errorf("%d results in 10 minutes, want about 60", len(s.results))
		}
		for _, r := range s.results {
			if r.OK || r.Took != 10*time.Second || !errors.Is(r.Err, context.DeadlineExceeded) ||
				r.Err.Error() != "no answer within 10s: context deadline exceeded" {
				t.Fatalf("result %+v, want no answer after 10 s", r)
			}
		}
	})
}

func TestResultsSayWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refuse atomic.Bool
		s := newScene(t, func(context.Context) error {
			time.Sleep(300 * time.Millisecond)
			if refuse.Load() {
				return errRefused
			}
			return nil
		})
		s.Set([]Target{target("a")})
		time.Sleep(time.Second)
		refuse.Store(true)
		time.Sleep(12 * time.Second)
		s.Close()
		ref := balancer.BackendRef{Service: "s", Backend: "a"}
		want := []Result{{ref, true, nil, 300 * time.Millisecond}, {ref, false, errRefused, 300 * time.Millisecond}}
		if len(s.results) != 2 || s.results[0] != want[0] || s.results[1] != want[1] {
			t.Errorf("results %v, want %v", s.results, want)
		}
	})
}

// TestUnchangedTargetsGoOn calls Set all the time: the schedule of a target that
// stays the same must not notice.
func TestUnchangedTargetsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		a := target("a")
		a.Spec.Expect = []balancer.StatusRange{{First: 200, Last: 200}}
		for range 600 {
			again := a
			again.Spec.Expect = []balancer.StatusRange{{First: 200, Last: 200}} // equal, not the same memory
			s.Set([]Target{again})
			time.Sleep(100 * time.Millisecond)
		}
		s.Close()
		if n := len(s.dialled); n < 5 || n > 7 {
			t.Errorf("%d probes in a minute of 10 s intervals, with 600 calls of Set", n)
		}
	})
}

func TestTargetEqual(t *testing.T) {
	expect := func(codes ...int) (list []balancer.StatusRange) {
		for _, c := range codes {
			list = append(list, balancer.StatusRange{First: c, Last: c})
		}
		return list
	}
	base := func() Target {
		a := target("a")
		a.Spec.Expect = expect(200, 204)
		return a
	}
	if !base().Equal(base()) {
		t.Error("a target differs from itself")
	}
	for name, change := range map[string]func(*Target){
		"name":    func(a *Target) { a.Ref.Backend = "b" },
		"service": func(a *Target) { a.Ref.Service = "b" },
		"port":    func(a *Target) { a.Address = netip.MustParseAddrPort("192.0.2.1:81") },
		"timeout": func(a *Target) { a.Spec.Timeout++ },
		"expect":  func(a *Target) { a.Spec.Expect = expect(200, 205) },
		"fewer":   func(a *Target) { a.Spec.Expect = expect(200) },
	} {
		changed := base()
		change(&changed)
		if changed.Equal(base()) {
			t.Errorf("another %s is not noticed", name)
		}
	}
}

func TestChangedTargetIsProbedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		a := target("a")
		s.Set([]Target{a})
		time.Sleep(5 * time.Second)
		if n := s.count(); n != 1 {
			t.Fatalf("%d results, want 1", n)
		}
		a.Spec.Interval = time.Second
		s.Set([]Target{a})
		time.Sleep(10 * time.Millisecond)
		if n := s.count(); n != 2 {
			t.Errorf("%d results right after the change, want 2", n)
		}
		time.Sleep(10 * time.Second)
		if n := s.count(); n < 10 || n > 14 {
			t.Errorf("%d results after 10 s of 1 s intervals, want about 12", n)
		}
		s.Set(nil)
		n := s.count()
		time.Sleep(time.Minute)
		if s.count() != n {
			t.Error("a removed target was probed")
		}
		s.Close()
	})
}

func TestResultOfRemovedTargetIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, never)
		s.Set([]Target{target("a")})
		time.Sleep(time.Second) // the probe is under way
		s.Set(nil)
		time.Sleep(time.Minute)
		if n := s.count(); n != 0 || len(s.dialled) != 1 {
			t.Errorf("%d results of %d probes, want none of one", n, len(s.dialled))
		}
		s.Close()
	})
}

// TestSuccessorWaits removes a target whose probe hangs (its dial ignores the
// context for a while) and brings it back: the new probe must not overtake.
func TestSuccessorWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, func(context.Context) error {
			time.Sleep(30 * time.Second)
			return nil
		})
		s.Set([]Target{target("a")})
		time.Sleep(time.Second)
		s.Set(nil)
		time.Sleep(time.Second)
		changed := target("a")
		changed.Spec.Host = "other"
		s.Set([]Target{changed})
		time.Sleep(20 * time.Second)
		s.Set([]Target{target("a")}) // once more, before the second has begun
		time.Sleep(39 * time.Second) // 61 s: the first ended at 30 s, its successor at 60 s
		if n := s.count(); n != 1 || s.crowded.Load() {
			t.Errorf("%d results, two at once: %v; want the successor's one", n, s.crowded.Load())
		}
		s.Close()
	})
}

func TestNoProbeReportsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		a := target("a")
		a.Spec = balancer.HealthSpec{Type: balancer.HealthNone}
		for range 10 {
			s.Set([]Target{a})
			time.Sleep(time.Minute)
		}
		if n := s.count(); n != 1 || s.results[0] != (Result{Ref: a.Ref, OK: true}) || len(s.dialled) != 0 {
			t.Errorf("%d results and %d probes, want one good result unprobed: %v", n, len(s.dialled), s.results)
		}
		s.Close()
	})
}

func TestCloseEndsProbesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, never)
		a := target("a")
		a.Spec.Timeout = time.Hour
		s.Set([]Target{a})
		time.Sleep(time.Second)
		before := time.Now()
		s.Close()
		s.Close() // twice is once
		s.Set([]Target{target("b")})
		if time.Since(before) != 0 {
			t.Errorf("Close took %v", time.Since(before))
		}
		time.Sleep(time.Minute)
		if n := s.count(); n != 0 || len(s.dialled) != 1 {
			t.Errorf("%d results, %d probes after Close, want none and the first", n, len(s.dialled))
		}
	})
}

// TestSetUnderLoad lets many goroutines change the set while probes run, for the
// race detector and for goleak. Whatever they do, a target's probes are one at a
// time, and nothing is reported after Close.
func TestSetUnderLoad(t *testing.T) {
	var closed atomic.Bool
	var perTarget [8]atomic.Int32
	p := New(zap.NewNop(), func(r Result) {
		if closed.Load() {
			t.Errorf("result after Close: %v", r)
		}
	}, WithDial(func(ctx context.Context, _, address string) (net.Conn, error) {
		inside := &perTarget[netip.MustParseAddrPort(address).Port()]
		if inside.Add(1) > 1 {
			t.Errorf("two probes of %s at once", address)
		}
		defer inside.Add(-1)
		return nil, errRefused
	}))
	var done sync.WaitGroup
	for g := range 4 {
		done.Go(func() {
			for round := range 200 {
				var set []Target
				for i := range len(perTarget) {
					if (round+i+g)%3 == 0 {
						continue
					}
					a := target(fmt.Sprint(i))
					a.Address = netip.AddrPortFrom(a.Address.Addr(), uint16(i))
					a.Spec.Interval = time.Duration(round%2+1) * time.Microsecond
					set = append(set, a)
				}
				p.Set(set)
			}
		})
	}
	done.Wait()
	p.Close()
	closed.Store(true)
}
