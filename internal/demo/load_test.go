package demo

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

var errNo = errors.New("no")

func TestSplit(t *testing.T) {
	const killed, out, revived = 100, 200, 300
	for _, c := range []struct {
		name string
		attempt
		want string
	}{
		{"long before", attempt{10, 20, 0, nil}, "before"},
		{"under way at the kill", attempt{99, 100, 1, errNo}, "outage"},
		{"after the kill", attempt{150, 160, 1, errNo}, "outage"},
		{"begun in the outage, ended after it", attempt{199, 250, -1, errNo}, "outage"},
		{"begun as it was out", attempt{200, 210, 0, nil}, "without"},
		{"begun before the return", attempt{299, 310, 0, nil}, "without"},
		{"after the return", attempt{300, 310, 1, nil}, "again"},
	} {
		p := split([]attempt{c.attempt}, killed, out, revived)
		got := map[string]int{"before": p.before.total, "outage": p.outage.total, "without": p.without.total, "again": p.again.total}
		want := map[string]int{"before": 0, "outage": 0, "without": 0, "again": 0}
		want[c.want] = 1
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", c.name, d)
		}
	}
}

func TestFailoverIsJudged(t *testing.T) {
	good := []attempt{{1, 2, 0, nil}, {99, 101, 1, errNo}, {110, 111, -1, errNo}, {201, 202, 2, nil}, {301, 302, 1, nil}}
	for _, c := range []struct {
		name string
		add  attempt
		want string
	}{
		{"one more in the outage", attempt{120, 121, -1, errNo}, ""},
		{"before", attempt{3, 4, -1, errNo}, "before the kill; 1 of 2 failed, the first so: no"},
		{"with the backend out", attempt{250, 251, -1, errNo}, "out of rotation; 1 of 2 failed"},
		{"after its return", attempt{350, 351, -1, errNo}, "after its return; 1 of 2 failed"},
		{"a dead one answers", attempt{250, 251, victim, nil}, "no answer of the dead backend; it gave 1"},
	} {
		got := split(append(good[:len(good):len(good)], c.add), 100, 200, 300).wrong()
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if p := split(good, 100, 200, 300); p.outage.failed != 2 || p.outage.total != 2 || p.without.by.String() != "0 0 1" {
		t.Errorf("outage %+v, without %+v", p.outage, p.without)
	}
}

func TestLoadGoesOnAndStops(t *testing.T) {
	defer goleak.VerifyNone(t)
	var calls atomic.Int64
	l := startLoad(t.Context(), time.Millisecond, func(context.Context) (int, error) {
		if n := calls.Add(1); n%2 == 0 {
			return -1, errNo
		}
		return 2, nil
	})
	if err := l.await(t.Context(), 5, func(a *attempt) bool { return a.err != nil }); err != nil {
		t.Fatal(err)
	}
	list := l.stop()
	if len(list) != int(calls.Load()) || len(list) < 9 {
		t.Errorf("%d attempts noted of %d", len(list), calls.Load())
	}
	for _, a := range list {
		if a.end < a.start || (a.err == nil) != (a.backend == 2) {
			t.Errorf("attempt %+v", a)
		}
	}
	if again := l.stop(); len(again) != len(list) {
		t.Errorf("%d attempts after the stop, %d at it", len(again), len(list))
	}
}

// Attempts that hang don't pile up, and end with the context.
func TestLoadIsBounded(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	var open atomic.Int64
	full, once := make(chan struct{}), sync.Once{}
	l := startLoad(ctx, 100*time.Microsecond, func(ctx context.Context) (int, error) {
		switch n := open.Add(1); {
		case n > maxOpen:
			t.Errorf("%d attempts under way, want at most %d", n, maxOpen)
		case n == maxOpen:
			once.Do(func() { close(full) })
		}
		<-ctx.Done()
		open.Add(-1)
		return -1, ctx.Err()
	})
	<-full
	cancel(errNo)
	if err := l.await(ctx, 1000, func(*attempt) bool { return false }); !errors.Is(err, errNo) {
		t.Errorf("await after the end: %v", err)
	}
	l.stop()
}

func TestTooLong(t *testing.T) {
	if got := tooLong(patience); got != "" {
		t.Errorf("%v: %q", patience, got)
	}
	if got := tooLong(patience + time.Second); !strings.Contains(got, "11s") {
		t.Errorf("one second more: %q", got)
	}
}
