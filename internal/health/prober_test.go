package health

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
)

func TestMain(m *testing.M) {
	if os.Getenv(starvedEnv) != "" {
		starved() // a child of TestNoDescriptors
		return
	}
	goleak.VerifyTestMain(m)
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
		s.Set(targets(1))
		time.Sleep(time.Second)
		refuse.Store(true)
		time.Sleep(12 * time.Second)
		s.Close()
		if len(s.results) != 2 {
			t.Fatalf("results %v, want two", s.results)
		}
		for i, want := range []error{nil, errRefused} {
			if r := s.results[i]; r != (Result{Target: target(1), Start: s.dialled[i].at, Took: 300 * time.Millisecond, Err: want}) {
				t.Errorf("result %+v, want %v after 300 ms", r, want)
			}
		}
	})
}

// TestSameQuestionIsAskedOnce: a thousand backends of services that all ask the same.
func TestSameQuestionIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		var set []Target
		for range 500 {
			set = append(set, target(1), target(2))
		}
		s.Set(set)
		time.Sleep(100 * time.Millisecond)
		if n := s.count(); n != 2 {
			t.Errorf("%d results of two targets", n)
		}
		s.Close()
	})
}

// TestUnchangedTargetsGoOn calls Set all the time: the schedule of a target that
// stays the same must not notice.
func TestUnchangedTargetsGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		for range 600 {
			s.Set(targets(1))
			time.Sleep(100 * time.Millisecond)
		}
		s.Close()
		if n := len(s.dialled); n < 5 || n > 7 {
			t.Errorf("%d probes in a minute of 10 s intervals, with 600 calls of Set", n)
		}
	})
}

func TestChangedTargetIsProbedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		a := target(1)
		s.Set([]Target{a})
		time.Sleep(5 * time.Second)
		if n := s.count(); n != 1 {
			t.Fatalf("%d results, want 1", n)
		}
		a.Interval = time.Second
		s.Set([]Target{a})
		time.Sleep(10 * time.Millisecond)
		if n := s.count(); n != 2 {
			t.Errorf("%d results right after the change, want 2", n)
		}
		time.Sleep(10 * time.Second)
		if n := s.count(); n < 12 || n > 14 {
			t.Errorf("%d results after 10 s of 1 s intervals, want 12 or 13", n)
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
		s.Set(targets(1))
		time.Sleep(time.Second) // the probe is under way
		s.Set(nil)
		time.Sleep(time.Minute)
		if n := s.count(); n != 0 || len(s.dialled) != 1 {
			t.Errorf("%d results of %d probes, want none of one", n, len(s.dialled))
		}
		if len(s.targets) != 0 {
			t.Error("the removed target is still held")
		}
		s.Close()
	})
}

// TestTargetThatComesBackWaits removes a target whose probe hangs (its dial ignores
// the context for a while) and brings it back: the new probe must not overtake, and
// the old one's result is void.
func TestTargetThatComesBackWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, after(5*time.Second))
		s.Set(targets(1))
		for range 3 {
			time.Sleep(time.Second)
			s.Set(nil)
			s.Set(targets(1))
		}
		time.Sleep(8 * time.Second)
		s.Close()
		if len(s.dialled) != 2 || s.crowded || s.dialled[1].at.Sub(s.dialled[0].at) != 5*time.Second {
			t.Fatalf("probes %v, two at once: %v; want a second right after the first", s.dialled, s.crowded)
		}
		if len(s.results) != 1 || !s.results[0].Start.Equal(s.dialled[1].at) {
			t.Errorf("results %v, want that of the second probe", s.results)
		}
	})
}

func TestNothingToAskIsNotProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		s.Set([]Target{TargetOf(anAddress, &balancer.HealthSpec{Type: balancer.HealthNone})})
		time.Sleep(time.Minute)
		if n := s.count(); n != 0 || len(s.dialled) != 0 {
			t.Errorf("%d results, %d probes", n, len(s.dialled))
		}
		s.Close()
	})
}

// TestSlowReport holds one target's report: the others go on, though only one probe
// may be in flight, and its own next probe waits.
func TestSlowReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports [3]atomic.Int32
		held := make(chan struct{})
		p := New(zap.NewNop(), func(r Result) {
			port := r.Target.Address.Port()
			if reports[port].Add(1); port == 1 {
				<-held
			}
		}, WithInFlight(1), WithDial(func(context.Context, string, string) (net.Conn, error) { return nil, errRefused }))
		p.Set(targets(2))
		time.Sleep(time.Minute)
		p.Kick()
		synctest.Wait()
		if a, b := reports[1].Load(), reports[2].Load(); a != 1 || b < 6 {
			t.Errorf("%d reports of the held target, %d of the other, in a minute: want 1 and more than 5", a, b)
		}
		close(held)
		p.Close()
	})
}

func TestCloseEndsProbesUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, never, WithInFlight(1))
		set := targets(2) // one of them waits for its turn
		set[0].Timeout, set[1].Timeout = time.Hour, time.Hour
		s.Set(set)
		time.Sleep(time.Second)
		before := time.Now()
		s.Close()
		s.Close() // twice is once
		s.Set(targets(3))
		s.Kick()
		if time.Since(before) != 0 {
			t.Errorf("Close took %v", time.Since(before))
		}
		time.Sleep(time.Minute)
		if n := s.count(); n != 0 || len(s.dialled) != 1 {
			t.Errorf("%d results, %d probes after Close, want none and the first", n, len(s.dialled))
		}
	})
}

// TestSetUnderLoad lets many goroutines change and kick the set while probes run, for
// the race detector and for goleak. Whatever they do, a target's probes are one at a
// time, no more than allowed are in flight, and nothing is reported after Close.
func TestSetUnderLoad(t *testing.T) {
	var (
		closed    atomic.Bool
		perTarget [9]atomic.Int32
		total     atomic.Int32
	)
	p := New(zap.NewNop(), func(r Result) {
		if closed.Load() {
			t.Errorf("result after Close: %v", r)
		}
	}, WithInFlight(3), WithDial(func(ctx context.Context, _, address string) (net.Conn, error) {
		inside := &perTarget[netip.MustParseAddrPort(address).Port()]
		if inside.Add(1) > 1 || total.Add(1) > 3 {
			t.Errorf("two probes of %s, or four of any, at once", address)
		}
		defer func() { total.Add(-1); inside.Add(-1) }()
		return nil, errRefused
	}))
	var done sync.WaitGroup
	for g := range 4 {
		done.Go(func() {
			for round := range 200 {
				var set []Target
				for i := range len(perTarget) - 1 {
					if (round+i+g)%3 == 0 {
						continue
					}
					a := target(i + 1)
					a.Interval = time.Microsecond
					set = append(set, a)
				}
				p.Set(set)
				if round%5 == 0 {
					p.Kick()
				}
			}
		})
	}
	done.Wait()
	p.Close()
	closed.Store(true)
}

// TestTimeoutIsToldInOneWay: by the context or by the connection's deadline.
func TestTimeoutIsToldInOneWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, never)
		s.Set(targets(1))
		time.Sleep(5 * time.Second)
		s.Close()
		r := s.results[0]
		if r.Took != 2*time.Second || r.Local || !errors.Is(r.Err, context.DeadlineExceeded) ||
			r.Err.Error() != "no answer within 2s: context deadline exceeded" {
			t.Errorf("result %+v, want no answer after 2 s", r)
		}
	})
}
