package daemon

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/bpf"
	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/packet"
)

// noEngine is an engine that takes every table.
type noEngine struct{}

func (noEngine) Apply(*balancer.Table, *bpf.Plan) error                   { return nil }
func (noEngine) Oldest() uint64                                           { return 0 }
func (noEngine) MoveHops(func(client packet.Addr, mac uint64) uint64) int { return 0 }
func (noEngine) SpeaksFrom(netip.Addr) bool                               { return false }
func (noEngine) Succeed()                                                 {}

// changeable is a daemon with the service web of a and b, a control plane and a state file.
// It stops when the test ends, or by the function.
func changeable(t *testing.T, path string) (*daemon, func()) {
	t.Helper()
	log := zap.NewNop()
	d := &daemon{log: log, events: events.NewRecorder(log), config: &config.Config{StateFile: path, Spec: balancer.Spec{Services: []balancer.ServiceSpec{{
		Name: "web", Address: netip.MustParseAddr("192.0.2.10"), First: 80, Last: 80, Protocol: balancer.TCP, Health: balancer.HealthSpec{Type: balancer.HealthNone},
		Backends: []balancer.BackendSpec{
			{Name: "a", Address: netip.MustParseAddr("10.0.0.11"), Weight: 1}, {Name: "b", Address: netip.MustParseAddr("10.0.0.12"), Weight: 1},
		},
	}}}}}
	d.control = control.New(control.Options{Engine: noEngine{}, Loads: balancer.NewLoads(), Spec: d.config.Spec, Overrides: d.recall(), Log: log, Events: d.events})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { d.control.Run(ctx) })
	running.Go(func() { d.keepAgain(ctx) })
	stop := func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(stop)
	return d, stop
}

// mustChange has web/a changed.
func (d *daemon) mustChange(t *testing.T, action string, volatile bool) api.BackendChanged {
	t.Helper()
	done, err := d.change(t.Context(), &api.BackendOrder{Service: "web", Backend: "a", Action: action, Volatile: volatile})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// told returns how many events of a kind there are, and of how many the end.
func (d *daemon) told(kind events.Kind) (n, over int) {
	list, _, _ := d.events.After(0)
	for _, e := range list {
		if e.Kind == kind {
			n++
			if e.Over {
				over++
			}
		}
	}
	return n, over
}

// What is changed comes back after a restart, but for what is volatile; without a state file
// nothing does.
func TestChangesAreKept(t *testing.T) {
	for name, c := range map[string]struct {
		path     string
		volatile bool
		want     string
	}{
		"kept": {"afxlb/state.json", false, "drain"}, "volatile": {"afxlb/state.json", true, ""}, "no file": {"", false, ""},
	} {
		path := config.NoStateFile
		if c.path != "" {
			path = filepath.Join(t.TempDir(), c.path)
		}
		d, stop := changeable(t, path)
		if done := d.mustChange(t, api.ActionDrain, c.volatile); done.Kept != (c.want != "") || done.New.Override != "drain" || len(done.Warnings) > 1 {
			t.Errorf("%s: %+v", name, done)
		}
		written, _ := os.Stat(path)
		d.mustChange(t, api.ActionDrain, c.volatile)
		if now, _ := os.Stat(path); now != nil && !os.SameFile(written, now) {
			t.Errorf("%s: the file is written again for nothing", name)
		}
		stop()
		again, _ := changeable(t, path)
		if got := again.control.View().Services[0].Backends[0].Override.String(); got != c.want {
			t.Errorf("%s: after a restart it is %q, want %q", name, got, c.want)
		}
		if _, err := os.Stat(path); (err == nil) != (c.want != "") {
			t.Errorf("%s: the file: %v", name, err)
		}
	}
}

// A state file that can't be written holds up no change, is told once, and is tried again until
// it can.
func TestChangesThatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "none", "afxlb", "state.json")
		d, _ := changeable(t, path)
		for range 2 {
			done := d.mustChange(t, api.ActionDisable, false)
			text := strings.Join(done.Warnings, "; ")
			if done.Kept || done.New.State != "disabled" || !strings.Contains(text, "not kept over a restart: write the state file: ") || !strings.Contains(text, path[:20]) {
				t.Errorf("%+v", done)
			}
		}
		if done := d.mustChange(t, api.ActionDrain, true); done.Kept || strings.Contains(strings.Join(done.Warnings, ""), "state file") {
			t.Errorf("a volatile change: %+v", done)
		}
		if n, over := d.told(events.StateFile); n != 1 || over != 0 || d.about().Unkept == "" {
			t.Errorf("told %d times, %d of them the end; status %q", n, over, d.about().Unkept)
		}
		if err := os.Mkdir(filepath.Dir(filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		time.Sleep(keepRetry)
		synctest.Wait()
		if n, over := d.told(events.StateFile); n != 2 || over != 1 || d.about().Unkept != "" {
			t.Errorf("told %d times, %d of them the end; status %q", n, over, d.about().Unkept)
		}
		if s, _, err := readState(path); err != nil || len(s.Overrides) != 1 || s.Overrides[0].State != "disabled" {
			t.Errorf("the file has %+v, %v", s, err)
		}
	})
}

// When all is taken back that could not be kept, nothing is missing in the state file any more.
func TestNothingLeftToKeep(t *testing.T) {
	d, _ := changeable(t, filepath.Join(t.TempDir(), "none", "afxlb", "state.json"))
	d.mustChange(t, api.ActionDrain, false)
	if d.about().Unkept == "" {
		t.Fatal("a folder that is not there takes the file")
	}
	if done := d.mustChange(t, api.ActionEnable, false); len(done.Warnings) > 0 {
		t.Errorf("%+v", done)
	}
	if n, over := d.told(events.StateFile); n != 2 || over != 1 || d.about().Unkept != "" {
		t.Errorf("told %d times, %d of them the end; status %q", n, over, d.about().Unkept)
	}
}

// Two balancers with one state file: none takes what the other has written for its own, or
// writes over it unseen.
func TestStateFileOfTwo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	one, _ := changeable(t, path)
	two, _ := changeable(t, path)
	if done := one.mustChange(t, api.ActionDrain, false); !done.Kept {
		t.Errorf("the first: %+v", done)
	}
	if done := two.mustChange(t, api.ActionDisable, false); done.Kept || !strings.Contains(strings.Join(done.Warnings, ""), errForeign.Error()) {
		t.Errorf("the second: %+v", done)
	}
	if n, _ := two.told(events.StateFile); n != 1 || two.about().Unkept == "" {
		t.Errorf("the second has told %d times, status %q", n, two.about().Unkept)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if done := two.mustChange(t, api.ActionDisable, false); !done.Kept {
		t.Errorf("the second, without the first's file: %+v", done)
	}
}

// A backend that is not known is the client's mistake.
func TestChangeOfNobody(t *testing.T) {
	d, stop := changeable(t, config.NoStateFile)
	for _, in := range []api.BackendOrder{{Service: "web", Backend: "c", Action: api.ActionDrain}, {Service: "wbe", Backend: "a", Action: api.ActionDrain}} {
		_, err := d.change(t.Context(), &in)
		if p, ok := err.(*api.Problem); !ok || p.Status != 404 || !strings.Contains(p.Detail, "there are: ") {
			t.Errorf("%+v: %v", in, err)
		}
	}
	stop()
	if _, err := d.change(t.Context(), &api.BackendOrder{Service: "web", Backend: "a", Action: api.ActionDrain}); err == nil {
		t.Error("changed after the end")
	}
}

// What can't be read is told and put aside; what the file has no more is told.
func TestRecall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.json")
	for name, c := range map[string]struct {
		text         string
		state, ended int // events
		aside        int
	}{
		"nothing": {"", 0, 0, 0},
		"damaged": {"{}", 1, 0, 1},
		"another file": {`{"version": 1, "overrides": [{"service": "192.0.2.10:80/tcp", "backend": "10.0.0.11:80", "state": "drain", "filed": "weight 5"},
			{"service": "192.0.2.10:80/udp", "backend": "10.0.0.11:80", "state": "drain", "filed": "weight 1"}]}`, 0, 2, 0},
		"the same file": {`{"version": 1, "overrides": [{"service": "192.0.2.10:80/tcp", "backend": "10.0.0.11:80", "state": "drain", "filed": "weight 1"}]}`, 0, 0, 0},
	} {
		if c.text != "" {
			if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		d, stop := changeable(t, path)
		stop()
		state, _ := d.told(events.StateFile)
		_, ended := d.told(events.Override)
		aside, err := filepath.Glob(path + ".damaged-*")
		if state != c.state || ended != c.ended || err != nil || len(aside) != c.aside {
			t.Errorf("%s: %d events of the state file, %d of overrides' ends, aside %q, %v; want %+v", name, state, ended, aside, err, c)
		}
		for _, name := range slices.Concat(aside, []string{path}) {
			_ = os.Remove(name) // it may not be there
		}
	}
}
