package daemon

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/events"
)

func TestWhatTheServiceManagerWants(t *testing.T) {
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0},
		{"30000000", "", 30 * time.Second},
		{"30000000", "7", 30 * time.Second},
		{"30000000", "8", 0}, // another process's
		{"-1", "", 0},
		{"soon", "7", 0},
	} {
		env := map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}
		if got := watchdog(func(name string) string { return env[name] }, 7); got != c.want {
			t.Errorf("%v: %v, want %v", env, got, c.want)
		}
	}
}

// Whoever stands still is named, once, and so is the end of it.
func TestPulse(t *testing.T) {
	var stuck bool
	p := pulse{patience: time.Millisecond, alive: func(ctx context.Context) error {
		if !stuck {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}}
	for i, c := range []struct {
		beats []uint64
		stuck bool
		still string
		told  string // empty: nothing
		over  bool
	}{
		{beats: []uint64{1, 0}},
		{beats: []uint64{2, 0}},
		{beats: []uint64{2, 7}, still: "worker 0", told: "worker 0 stands still"},
		{beats: []uint64{2, 8}, still: "worker 0"},
		{beats: []uint64{2, 8}, stuck: true, still: "worker 0, worker 1, the control plane", told: "worker 0, worker 1, the control plane stand still"},
		{beats: []uint64{3, 9}, stuck: true, still: "the control plane", told: "the control plane stands still"},
		{beats: []uint64{4, 9, 1}, still: "worker 1", told: "worker 1 stands still"},
		{beats: []uint64{0, 0, 2}, told: "all move again", over: true}, // nobody serves now
		{beats: []uint64{0, 0, 3}},
	} {
		stuck = c.stuck
		e := p.look(t.Context(), c.beats)
		if p.still != c.still || (e != nil) != (c.told != "") {
			t.Fatalf("look %d: %q stands still, want %q; told %+v", i, p.still, c.still, e)
		}
		if e != nil && (e.Kind != events.Stalled || e.Text != c.told || e.Over != c.over) {
			t.Errorf("look %d: %+v, want %q", i, e, c.told)
		}
	}
}

// A control plane that moves answers; one that does not is found out; one that is to end
// is not reproached for it.
func TestPulseOfTheControlPlane(t *testing.T) {
	r := control.New(control.Options{Loads: balancer.NewLoads(), Log: zap.NewNop(), Events: events.NewRecorder(zap.NewNop())})
	p := pulse{patience: time.Millisecond, alive: r.Alive}
	if e := p.look(t.Context(), nil); e == nil || !strings.Contains(e.Text, "control plane") {
		t.Errorf("it does not run yet, and that is %+v", e)
	}
	p.patience = time.Minute
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	if e := p.look(t.Context(), nil); e == nil || !e.Over {
		t.Errorf("it runs, and that is %+v", e)
	}
	stop()
	<-ended
	if e := p.look(t.Context(), nil); e != nil {
		t.Errorf("it has ended, and that is %+v", e)
	}
}
