package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/afxlb/afxlb/balancer"
	"github.com/afxlb/afxlb/internal/config"
	"github.com/afxlb/afxlb/internal/control"
	"github.com/afxlb/afxlb/internal/doctor"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/report"
)

func TestServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	d := &daemon{log: zap.NewNop()}
	d.tell("READY=1")
	if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, err := l.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("%q, %v", b[:n], err)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	d.tell("READY=1") // nobody wants to know
}

func TestProbesLeaveRoomForServing(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}()
	open, err := openDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	const least = 30 + spare + portSpare + minProbes + minClients + minWeb
	for _, c := range []struct {
		free, serving int
		want          shares // zero: a refusal
	}{
		{2000, 30, shares{maxProbes, maxClients, maxWeb}},
		{30 + spare + portSpare + 100, 30, shares{59, 25, 16}},
		{least + 2, 30, shares{minProbes + 2, minClients, minWeb}},
		{least, 30, shares{minProbes, minClients, minWeb}},
		{least - 1, 30, shares{}},
		{0, 30, shares{}},
	} {
		limit := unix.Rlimit{Cur: uint64(open + c.free), Max: old.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		got, err := share(c.serving, 1, 2)
		if got != c.want || (err != nil) != (c.want == shares{}) {
			t.Errorf("%d free, %d to serve: %+v, %v; want %+v", c.free, c.serving, got, err, c.want)
		}
		var machine doctor.MachineError
		if err != nil && (!errors.As(err, &machine) || !strings.Contains(err.Error(), "RLIMIT_NOFILE")) {
			t.Errorf("the refusal does not name the limit: %v", err)
		}
	}
}

// A stop is no failure for what the interface does at the same moment.
func TestStopsAsItShould(t *testing.T) {
	for err, want := range map[error]bool{
		context.Canceled: true, errInterfaceGone: true, syscall.EBUSY: false, errors.New("else"): false,
	} {
		if got := asItShould(fmt.Errorf("serve: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

func TestLogLevelFollows(t *testing.T) {
	var out strings.Builder
	log, at := newLog(zapcore.AddSync(&out), config.Log{Level: "warn", Format: "json"})
	log.Info("one")
	at.SetLevel(level(config.Log{Level: "debug"}))
	log.Debug("two")
	if s := out.String(); strings.Contains(s, "one") || !strings.Contains(s, `"msg":"two"`) {
		t.Errorf("log: %s", s)
	}
}

// What the kernel did not take, and has taken since, is in force; what was refused stays so.
func TestOutcome(t *testing.T) {
	d := &daemon{control: control.New(control.Options{Loads: balancer.NewLoads(), Log: zap.NewNop(), Events: events.NewRecorder(zap.NewNop())})}
	if got := d.outcome(); got != "" {
		t.Errorf("without a reload: %q", got)
	}
	for err, want := range map[error]string{
		nil: "ok", fmt.Errorf("x: %w", control.ErrCommit): "ok", errors.New("f:3: wrong"): "f:3: wrong",
	} {
		if d.reloaded(err, nil); d.outcome() != want {
			t.Errorf("after %v: %q, want %q", err, d.outcome(), want)
		}
	}
}

// Whoever may not read the config file is told where in it a reload has found what is wrong, and
// none of its words; the log and the control socket have these.
func TestRefusedReloadOutline(t *testing.T) {
	for text, want := range map[string]string{
		"services: hunter2":                            "f.yaml:1: services is wrong",
		"services: []\nlog: {level: hunter2}":          "f.yaml:2: log.level is wrong",
		"services: []\nlisten: hunter2\npoll: hunter2": "f.yaml:2: listen is wrong\nf.yaml:3: poll is wrong",
		"root:hunter2:0:0:":                            "f.yaml:1: this is wrong\nf.yaml:1: services is wrong",
		"services: [{name: x, address: 192.0.2.1, port: 1, backends: [], hunter2: 1}]": "f.yaml:1: services[0] is wrong",
		"services: []\nneighbours: {hunter2: 1}":                                       "f.yaml:2: neighbours is wrong",
		"services: [hunter2\n: {":                                                      "f.yaml:2: this is not YAML",
		"services: *hunter2":                                                           "f.yaml:1: services is wrong",
		"services: !hunter2 []":                                                        "f.yaml:1: services is wrong",
	} {
		d, _ := changeable(t, "")
		d.Load = func() (*config.Config, error) { return config.Parse("f.yaml", []byte(text)) }
		_, err := d.reload(t.Context())
		if got := outline(d.state.reload); err == nil || got != want {
			t.Errorf("%q: the outline is %q, want %q; in full %v", text, got, want, err)
		}
		list, _, _ := d.events.After(0)
		if e := list[len(list)-1]; e.Kind != events.ReloadRefused || e.Outline != want || e.Reason != err.Error() {
			t.Errorf("%q: the event is %+v", text, e)
		}
	}
	if got := outline(errors.New("no such file")); got != "" {
		t.Errorf("of what has no words of the file: %q", got)
	}
}

// A reload that comes too late is no fault of the file's.
func TestReloadWhileStopping(t *testing.T) {
	var out strings.Builder
	log, _ := newLog(zapcore.AddSync(&out), config.Log{Level: "info", Format: "json"})
	d := &daemon{log: log, events: events.NewRecorder(log), config: &config.Config{}, state: state{ports: []report.Port{{Name: "nosuch0"}}}}
	d.Load = func() (*config.Config, error) { return &config.Config{}, nil }
	d.control = control.New(control.Options{Loads: balancer.NewLoads(), Log: zap.NewNop(), Events: events.NewRecorder(zap.NewNop())})
	ctx, stop := context.WithCancel(t.Context())
	stop()
	d.control.Run(ctx)
	if _, err := d.reload(ctx); !errors.Is(err, control.ErrStopped) {
		t.Errorf("the answer is %v", err)
	}
	if s := out.String(); strings.Contains(s, "refused") || !strings.Contains(s, "not reloaded") || d.state.reload != nil {
		t.Errorf("the outcome is %v, and the log:\n%s", d.state.reload, s)
	}
}

// A service manager that has stopped to read holds nobody up.
func TestFieldServiceManagerThatDoesNotListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	for err == nil {
		_, err = c.Write([]byte("x"))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	var out strings.Builder
	d := &daemon{}
	d.log, d.level = newLog(zapcore.AddSync(&out), config.Log{Level: "info", Format: "json"})
	d.tell("READY=1")
	if !strings.Contains(out.String(), "tell the service manager") {
		t.Errorf("it is not told: %q", out.String())
	}
}
