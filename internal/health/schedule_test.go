package health

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestProbesComeAtTheirInterval: never later than it says, so that a death is known
// within fall × interval + timeout, and never together for long.
func TestProbesComeAtTheirInterval(t *testing.T) {
	for name, dial := range map[string]func(context.Context) error{
		"quick":   open,
		"slow":    after(1900 * time.Millisecond),
		"silence": never,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, dial)
				begin := time.Now()
				s.Set(targets(1))
				time.Sleep(10 * time.Minute)
				s.Close()
				if first := s.dialled[0].at.Sub(begin); first > time.Millisecond {
					t.Errorf("the only target's first probe came after %v, want at once", first)
				}
				distinct := map[time.Duration]bool{}
				for i := 1; i < len(s.dialled); i++ {
					d := s.dialled[i].at.Sub(s.dialled[i-1].at)
					if d < 9*time.Second || d > 10*time.Second {
						t.Errorf("probe %d came %v after the last, want from 9 to 10 s", i, d)
					}
					distinct[d] = true
				}
				if len(s.dialled) < 60 || len(distinct) < 10 {
					t.Errorf("%d probes at %d different intervals in 10 minutes: want more than 60, jittered", len(s.dialled), len(distinct))
				}
			})
		})
	}
}

// TestSlowProbesNeverOverlap: a timeout may be as long as the interval.
func TestSlowProbesNeverOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, never)
		a := target(1)
		a.Timeout = a.Interval
		s.Set([]Target{a})
		time.Sleep(10 * time.Minute)
		s.Close()
		if s.crowded {
			t.Error("two probes of one target were under way at once")
		}
		if n := len(s.results); n < 59 {
			t.Errorf("%d results in 10 minutes, want one every 10 s", n)
		}
	})
}

func TestFirstProbesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		s.Set(targets(500))
		time.Sleep(250 * time.Millisecond)
		half := s.count()
		time.Sleep(250 * time.Millisecond)
		if all := s.count(); all != 500 || half < 150 || half > 350 {
			t.Errorf("%d of 500 targets probed after 250 ms, %d after 500 ms: want about half, and all", half, all)
		}
		s.Close()
	})
}

// TestInFlight: twelve targets that take 1.5 s each, three at a time. They wait for
// their turns up to 4.5 s, longer than their timeout, and are well all the same.
func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, after(1500*time.Millisecond), WithInFlight(3))
		s.Set(targets(12))
		time.Sleep(6100 * time.Millisecond)
		if n := s.count(); n != 12 || s.most != 3 {
			t.Errorf("%d of 12 results, %d in flight at most; want all by 3 at a time", n, s.most)
		}
		for _, r := range s.results {
			if r.Err != nil || r.Took != 1500*time.Millisecond {
				t.Errorf("result %+v: the wait for a turn is not the probe's time", r)
			}
		}
		s.Close()
	})
}

// TestTurnsAreFair: with twice as much to do as can be done, all are asked equally
// often.
func TestTurnsAreFair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, after(time.Second), WithInFlight(2))
		s.Set(targets(40)) // 20 s of work, every 10 s
		time.Sleep(10 * time.Minute)
		s.Close()
		count := map[string]int{}
		for _, d := range s.dialled {
			count[d.address]++
		}
		least, most := len(s.dialled), 0
		for _, n := range count {
			least, most = min(least, n), max(most, n)
		}
		if len(count) != 40 || most-least > 1 {
			t.Errorf("%d targets were asked %d to %d times in 10 minutes, want all 40 equally often", len(count), least, most)
		}
	})
}

// TestLongestWaitingFirst has targets come one after the other while nobody can be
// asked.
func TestLongestWaitingFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, after(time.Second), WithInFlight(1))
		for n := range 8 {
			s.Set(targets(n + 1))
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(7500 * time.Millisecond)
		s.Close()
		for i, d := range s.dialled {
			if d.address != target(i+1).Address.String() {
				t.Errorf("%s was asked as number %d", d.address, i+1)
			}
		}
		if len(s.dialled) != 8 {
			t.Errorf("%d probes, want 8", len(s.dialled))
		}
	})
}

// TestKick: all at once, but within the bound and not in one millisecond.
func TestKick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, after(time.Millisecond), WithInFlight(50))
		s.Set(targets(1000))
		time.Sleep(1100 * time.Millisecond) // the next are due in 8 s at the earliest
		if n := s.count(); n != 1000 {
			t.Fatalf("%d of 1000 targets probed at first", n)
		}
		s.Kick()
		time.Sleep(50 * time.Millisecond)
		half := s.count() - 1000
		time.Sleep(60 * time.Millisecond)
		if all := s.count() - 1000; all != 1000 || half < 300 || half > 700 || s.most > 50 {
			t.Errorf("%d of 1000 targets probed 50 ms after the kick, %d after 110 ms, %d at a time: want about half, all, 50 at most", half, all, s.most)
		}
		time.Sleep(8 * time.Second)
		if n := s.count(); n != 2000 {
			t.Errorf("%d probes more, before an interval was over", n-2000)
		}
		s.Close()
	})
}

func TestKickOfOneIsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		s.Set(targets(1))
		time.Sleep(time.Second)
		s.Kick()
		time.Sleep(time.Millisecond)
		if n := s.count(); n != 2 {
			t.Errorf("%d results 1 ms after the kick, want 2", n)
		}
		s.Close()
	})
}

// TestKickDelaysNobody kicks targets that are due soon.
func TestKickDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, open)
		s.Set(targets(200)) // due within 200 ms
		before := s.due()
		s.Kick()
		for target, at := range s.due() {
			if at.After(before[target]) {
				t.Fatalf("%v was due at %v and is at %v after a kick", target.Address, before[target], at)
			}
		}
		time.Sleep(maxKick)
		if n := s.count(); n != 200 {
			t.Errorf("%d of 200 targets probed", n)
		}
		s.Close()
	})
}

// TestKickDuringAProbe: what is under way may have begun before what the kick is
// about, so there is one more right after it, and one only.
func TestKickDuringAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, never)
		s.Set(targets(1))
		time.Sleep(time.Second)
		s.Kick()
		s.Kick()
		time.Sleep(8 * time.Second)
		if n := s.count(); n != 2 {
			t.Fatalf("%d results, want the one that was under way and one more", n)
		}
		if d := s.dialled[1].at.Sub(s.dialled[0].at); d != 2*time.Second {
			t.Errorf("the second probe began %v after the first, want right after its timeout", d)
		}
		s.Close()
	})
}

// TestKickWhileWaiting: a probe that has not begun yet is recent enough.
func TestKickWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, after(time.Second), WithInFlight(1))
		s.Set(targets(3))
		time.Sleep(500 * time.Millisecond) // one is under way, two wait
		s.Kick()
		time.Sleep(7 * time.Second)
		if n := s.count(); n != 4 {
			t.Errorf("%d results, want one of each and one more of the first", n)
		}
		s.Close()
	})
}

// TestRemovedWhileWaiting: who is gone before its turn is not asked, and who comes
// back keeps its place.
func TestRemovedWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, after(time.Second), WithInFlight(1))
		s.Set(targets(1))
		time.Sleep(100 * time.Millisecond)
		s.Set([]Target{target(1), target(2), target(3)})
		time.Sleep(100 * time.Millisecond)
		s.Set(targets(1))
		s.Set([]Target{target(1), target(3)})
		time.Sleep(5 * time.Second)
		if n := s.count(); n != 2 || len(s.dialled) != 2 || s.dialled[1].address != target(3).Address.String() {
			t.Errorf("%d results of %v, want those of the first and the third", n, s.dialled)
		}
		if len(s.targets) != 2 || s.free != 1 {
			t.Errorf("%d targets are held and %d more may be in flight, want 2 and 1", len(s.targets), s.free)
		}
		s.Close()
	})
}

// TestPace: whoever judges the answers says when the next one is wanted.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *scene
		s = newScene(t, open, WithPace(func(r Result) time.Duration {
			if r.Target != target(1) {
				t.Errorf("asked about %v", r.Target.Address)
			}
			if s.mu.Lock(); len(s.results) > 5 {
				s.mu.Unlock()
				return 0
			}
			s.mu.Unlock()
			return 100 * time.Millisecond
		}))
		s.Set(targets(1))
		time.Sleep(time.Second)
		if n := s.count(); n != 6 {
			t.Errorf("%d probes in a second, want five quick ones after the first", n)
		}
		if wait := time.Until(s.Next(target(1))); wait < 8*time.Second || wait > 10*time.Second {
			t.Errorf("the next is due in %v", wait)
		}
		s.Close()
	})
}

// TestHasten: news of a target bring its next probe forward, and put none off.
func TestHasten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, after(time.Second))
		s.Set(targets(2))
		time.Sleep(1500 * time.Millisecond)
		s.Hasten(target(1), 0)
		s.Hasten(target(3), 0) // nobody knows it
		time.Sleep(time.Millisecond)
		if next := s.Next(target(1)); !next.IsZero() {
			t.Errorf("under way, and due at %v", next)
		}
		s.Hasten(target(1), 0) // it is under way
		s.Hasten(target(2), time.Hour)
		time.Sleep(2 * time.Second)
		if n := s.count(); n != 3 {
			t.Errorf("%d results, want one more", n)
		}
		if wait := time.Until(s.Next(target(2))); wait > 10*time.Second || s.Next(target(3)) != (time.Time{}) {
			t.Errorf("put off to %v", wait)
		}
		s.Close()
		s.Hasten(target(1), 0)
	})
}
