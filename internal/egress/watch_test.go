package egress

import (
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

var (
	first  = netip.MustParseAddr("10.0.0.11")
	second = netip.MustParseAddr("10.0.0.12")
	both   = []netip.Addr{first, second}

	routeToFirst = event{subject: aboutRoute, prefix: netip.PrefixFrom(first, 32)}
	soon         = settleTime + time.Millisecond
	gone         = netlink.Route{LinkIndex: served, Type: unix.RTN_LOCAL}
)

func newFake() *fake {
	return &fake{macs: map[netip.Addr]byte{first: 2, second: 4}, routes: map[netip.Addr]netlink.Route{}}
}

// moved is what the kernel announces when a neighbour gets another MAC address.
func moved(a netip.Addr, mac byte) event {
	return event{subject: aboutNeighbour, ifindex: served, addr: a, mac: [6]byte{mac}}
}

// An event has its address looked at soon, and only that one.
func TestEventIsFollowed(t *testing.T) {
	run(t, newFake(), both, func(t *testing.T, w *faked) {
		w.fake.with(func(f *fake) { f.routes[first], f.routes[second] = gone, gone })
		_, before := w.fake.counts()
		w.batches <- []event{routeToFirst}
		if h := w.hop(soon, first); h.Why != "own address" {
			t.Errorf("soon after the event: %+v", h)
		}
		if _, after := w.fake.counts(); after != before+1 || w.Snapshot().Hops[second].Why != "" {
			t.Errorf("%d routes looked up, want 1", after-before)
		}
		w.hop(2*againTime, first) // else it would be looked at once more
		w.batches <- []event{moved(second, 0)}
		if h := w.hop(soon, second); h.Why != "own address" || w.Snapshot().Hops[first].Why != "own address" {
			t.Errorf("soon after the other's: %+v", w.Snapshot())
		}
	})
}

// A route that the kernel has announced too early is found all the same.
func TestRouteIsAnnouncedTooEarly(t *testing.T) {
	run(t, newFake(), both, func(t *testing.T, w *faked) {
		w.batches <- []event{routeToFirst}
		w.hop(20*time.Millisecond, first)
		w.fake.with(func(f *fake) { f.routes[first] = gone })
		if h := w.hop(60*time.Millisecond, first); h.Why != "own address" {
			t.Errorf("80 ms after the event: %+v", h)
		}
	})
}

// What nobody announces is seen at the next tick.
func TestTick(t *testing.T) {
	run(t, newFake(), both, func(t *testing.T, w *faked) {
		w.fake.with(func(f *fake) { f.routes[first] = gone; delete(f.macs, second) })
		if h := w.hop(tickInterval, first); h.Why != "own address" || w.Snapshot().Hops[second].Known {
			t.Errorf("after a tick: %+v", w.Snapshot())
		}
	})
}

// A lost message may have been about anything.
func TestOverrun(t *testing.T) {
	run(t, newFake(), both, func(t *testing.T, w *faked) {
		w.fake.with(func(f *fake) { f.macs[first], f.routes[second] = 6, gone })
		w.batches <- []event{{}}
		if h := w.hop(soon, first); h.MAC[0] != 6 || w.Snapshot().Hops[second].Why != "own address" {
			t.Errorf("after an overrun: %+v", w.Snapshot())
		}
	})
}

// A change while the tables are read, that they did not show yet, is not missed.
func TestChangeDuringALook(t *testing.T) {
	run(t, newFake(), both, func(t *testing.T, w *faked) {
		// The look that the first change causes misses the second, whose event says what
		// the snapshot from before the look says.
		w.fake.with(func(f *fake) {
			f.macs[first] = 6
			f.reread = func() {
				f.macs[first] = 2
				go func() { w.batches <- []event{moved(first, 2)} }()
			}
		})
		w.batches <- []event{moved(first, 6)}
		if h := w.hop(2*soon, first); h.MAC[0] != 2 {
			t.Errorf("%+v, want the MAC address from before", h)
		}
	})
}

// An interrupted dump and a failed look-up change nothing, are told once, and are made
// up for.
func TestErrorsKeepWhatIsKnown(t *testing.T) {
	dump := func(f *fake, err error) { f.dump, f.macs = err, nil } // that did not get far
	routeOf := func(f *fake, err error) { f.routeOf = err }
	for _, c := range []struct {
		name string
		set  func(f *fake, err error)
		err  error
	}{
		{"interrupted dump", dump, netlink.ErrDumpInterrupted},
		{"failed dump", dump, unix.ENOMEM},
		{"failed look-up", routeOf, unix.ENOBUFS},
		{"look-up by a broken socket", routeOf, errors.New("wrong sequence number")},
	} {
		t.Run(c.name, func(t *testing.T) {
			run(t, newFake(), both, func(t *testing.T, w *faked) {
				had := w.Snapshot()
				w.fake.with(func(f *fake) { c.set(f, c.err) })
				w.batches <- []event{routeToFirst, moved(second, 0)}
				w.hop(3*time.Second, first)
				if s := w.Snapshot(); !s.equal(&had) {
					t.Errorf("%+v, before %+v", s, had)
				}
				if n := w.logs.FilterLevelExact(zap.WarnLevel).Len(); n != 1 {
					t.Errorf("%d warnings, want 1: %v", n, w.logs.All())
				}
				w.fake.with(func(f *fake) {
					c.set(f, nil)
					f.macs, f.routes[second] = map[netip.Addr]byte{first: 8}, gone
				})
				if h := w.hop(retryTime+soon, first); h.MAC[0] != 8 || w.Snapshot().Hops[second].Why != "own address" {
					t.Errorf("soon after it: %+v", w.Snapshot())
				}
				if n := w.logs.FilterLevelExact(zap.InfoLevel).Len(); n != 1 {
					t.Errorf("%d times told that all is well, want once: %v", n, w.logs.All())
				}
			})
		})
	}
}

// Beside a flood of what concerns nobody it looks at each tick, as it would without.
func TestUnrelatedFlood(t *testing.T) {
	run(t, newFake(), both, func(t *testing.T, w *faked) {
		looks, lookups := w.fake.counts()
		other := event{subject: aboutRoute, prefix: netip.MustParsePrefix("203.0.113.0/24")}
		for range 5000 {
			w.batches <- []event{other, moved(netip.MustParseAddr("10.0.0.99"), 2), {subject: aboutLink, ifindex: 9}}
			time.Sleep(2 * time.Millisecond)
		}
		synctest.Wait()
		nowLooks, nowLookups := w.fake.counts()
		if nowLooks-looks != 10 || nowLookups-lookups != 20 {
			t.Errorf("in 10 s: %d looks, %d routes looked up; want those of the ticks", nowLooks-looks, nowLookups-lookups)
		}
	})
}

// Beside a flood of what concerns it, it takes a small part of the time, however long a
// look takes, and sees the last change within half a second.
func TestRelatedFlood(t *testing.T) {
	for took, share := range map[time.Duration]float64{100 * time.Microsecond: 0.03, time.Millisecond: 0.03, 5 * time.Millisecond: 0.03, 20 * time.Millisecond: 0.07} {
		t.Run(took.String(), func(t *testing.T) {
			f := newFake()
			f.took = took
			run(t, f, both, func(t *testing.T, w *faked) {
				looks, _ := w.fake.counts()
				for range 5000 {
					w.batches <- []event{routeToFirst}
					time.Sleep(2 * time.Millisecond)
				}
				synctest.Wait()
				now, _ := w.fake.counts()
				if got := float64(now-looks) * took.Seconds() / 10; got > share {
					t.Errorf("it takes %.1f%% of the time, want %.1f%% at most", 100*got, 100*share)
				}
				w.fake.with(func(f *fake) { f.routes[first] = gone })
				w.batches <- []event{routeToFirst}
				if h := w.hop(500*time.Millisecond, first); h.Why != "own address" {
					t.Errorf("half a second after the last change: %+v", h)
				}
			})
		})
	}
}

// Where a look takes long, the ticks are spaced out.
func TestSlowTicks(t *testing.T) {
	f := newFake()
	f.took = 50 * time.Millisecond
	run(t, f, both, func(t *testing.T, w *faked) {
		before, _ := w.fake.counts()
		time.Sleep(time.Minute)
		after, _ := w.fake.counts()
		if n := after - before; n < 10 || n > 12 {
			t.Errorf("%d looks of 50 ms in a minute, want one each 5 s", n)
		}
	})
}

// A table without room is told as such, until there is room.
func TestTableIsFull(t *testing.T) {
	f := newFake()
	third := netip.MustParseAddr("2001:db8::13")
	delete(f.macs, second)
	f.set = unix.ENOBUFS
	run(t, f, []netip.Addr{first, second, third}, func(t *testing.T, w *faked) {
		for a, why := range map[netip.Addr]string{
			first:  "",
			second: "neighbour table is full (net.ipv4.neigh.default.gc_thresh3)",
			third:  "neighbour table is full (net.ipv6.neigh.default.gc_thresh3)",
		} {
			if h := w.Snapshot().Hops[a]; h.Why != why || h.Known != (a == first) || !h.OnLink || h.Asked.IsZero() != (a == first) {
				t.Errorf("hop to %v: %+v, want because of %q", a, h, why)
			}
		}
		w.fake.with(func(f *fake) { f.set = nil; f.macs[third] = 6 })
		w.batches <- []event{{subject: aboutRoute, prefix: netip.PrefixFrom(second, 32)}}
		if h := w.hop(soon, second); h.Why == "" {
			t.Error("forgotten at an event, without having been asked again")
		}
		if h := w.Snapshot().Hops[third]; h.Why != "" || !h.Known || !h.Asked.IsZero() {
			t.Errorf("known at last: %+v", h)
		}
		if h := w.hop(tickInterval, second); h.Why != "" || h.Known || h.Asked.IsZero() {
			t.Errorf("asked again: %+v", h)
		}
	})
}

// What is missing is asked for each second, what is known each twenty seconds, and
// nobody while the link is down.
func TestQuestions(t *testing.T) {
	f := newFake()
	delete(f.macs, second)
	run(t, f, both, func(t *testing.T, w *faked) {
		count := func(d time.Duration) int {
			var start, end int
			w.fake.with(func(f *fake) { start = f.questions })
			time.Sleep(d)
			synctest.Wait()
			w.fake.with(func(f *fake) { end = f.questions })
			return end - start
		}
		if n := count(time.Minute); n != 63 {
			t.Errorf("%d questions in a minute, want 60 for the one and 3 for the other", n)
		}
		since := w.Snapshot().Hops[second].Asked
		w.fake.with(func(f *fake) { f.down = true })
		count(tickInterval)
		if n := count(time.Minute); n != 0 {
			t.Errorf("%d questions while the link is down", n)
		}
		if h := w.Snapshot().Hops[second]; h.Asked != since {
			t.Errorf("asked since %v, want %v", h.Asked, since)
		}
		w.fake.with(func(f *fake) { f.down = false })
		up := time.Now()
		w.batches <- []event{{subject: aboutLink, ifindex: served}}
		if h := w.hop(soon, second); h.Asked.Before(up) {
			t.Errorf("the link is back; asked since %v, want since %v", h.Asked, up)
		}
	})
}

// Who is missing is asked for again and again, also where looks take long and are rare.
func TestAskingBetweenSlowLooks(t *testing.T) {
	f := newFake()
	delete(f.macs, second)
	run(t, f, both, func(t *testing.T, w *faked) {
		w.fake.with(func(f *fake) { f.took = 500 * time.Millisecond }) // a tick in 20 seconds
		time.Sleep(5 * time.Second)
		var looks, asked int
		w.fake.with(func(f *fake) { looks, asked = f.looks, f.questions })
		time.Sleep(20 * time.Second)
		w.fake.with(func(f *fake) { looks, asked = f.looks-looks, f.questions-asked })
		if looks > 2 || asked < 9 || asked > 13 {
			t.Errorf("in 20 s: %d looks and %d questions, want one, and ten for one of two", looks, asked)
		}
	})
}

// Who is in use is remembered by the kernel, which forgets after a minute, also where looks
// take long.
func TestRemindersBetweenSlowLooks(t *testing.T) {
	run(t, newFake(), both, func(t *testing.T, w *faked) {
		w.fake.with(func(f *fake) { f.took = 2 * time.Second })
		time.Sleep(time.Minute)
		asked := 0
		w.fake.with(func(f *fake) { asked = f.questions })
		time.Sleep(time.Minute)
		w.fake.with(func(f *fake) { asked = f.questions - asked })
		if asked < 4 || asked > 6 {
			t.Errorf("%d questions for two in a minute, want some each", asked)
		}
	})
}
