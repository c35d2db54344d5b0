package top

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/afxlb/afxlb/internal/api"
)

// noon is when the first sample is taken, in whatever zone the test runs.
var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.Local)

// fake is a balancer of so many services of so many backends, whose counters grow by the
// second. It takes down what it is asked for.
type fake struct {
	services, backends int
	second             uint64 // of its life
	started            time.Time
	away               error
	asked              []string
}

func (f *fake) note(format string, args ...any) error {
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	return f.away
}

func (f *fake) Status(context.Context) (api.Status, error) {
	n := f.second
	return api.Status{
		Version: "v1.4.0", PID: 4711, Started: f.started, State: api.StateServing, Generation: 17,
		Services: api.UpTotal{Up: f.services - 1, Total: f.services}, Backends: api.UpTotal{Up: f.services*f.backends - 2, Total: f.services * f.backends},
		Flows: api.FlowTable{Flows: 12345, MaxFlows: 900_000, MaxEmbryonic: 100_000},
		Warnings: []api.Warning{
			{Code: "no-backend", Text: "no backend in rotation: dns", Since: noon.Add(-95 * time.Second)},
			{Code: "generic", Text: "eth1: the driver takes no native program, XDP is slow there"},
		},
		Ports: []api.Port{
			{Name: "eth0", State: "serving", XDPMode: "native", Bind: "zero-copy", Queues: []int{0, 1}, Received: 900_000 * n, Sent: 880_000 * n},
			{Name: "eth1", State: "waiting", Reason: "no such interface", Queues: []int{}},
		},
		Workers: []api.Worker{
			{Queue: 0, CPU: 2, Received: 500_000 * n, Forwarded: 480_000 * n, Replied: 1000 * n, Punted: 10 * n, Dropped: 18_990 * n, Misses: 700 * n, Batches: 10_000 * n, Sleeps: 3 * n, Bind: "zero-copy",
				Frames: api.Frames{Free: 3000, Filled: 4096, Transmit: 1096, Total: 8192, Size: 2048}},
			{Queue: 1, CPU: -1, Received: 400_000 * n, Forwarded: 400_000 * n, Batches: 5000 * n, Bind: "zero-copy", Detour: true,
				Frames: api.Frames{Free: 4000, Filled: 4096, Transmit: 96, Total: 8192, Size: 2048}},
		},
	}, f.note("status")
}

func (f *fake) Services(context.Context) (list []api.Service, _ error) {
	for i := range f.services {
		n := uint64(2*i+1) * f.second
		s := api.Service{Name: fmt.Sprint("service-", i), Address: fmt.Sprintf("192.0.2.%d", 10+i%240), Port: fmt.Sprint(80 + i/240), Protocol: "tcp", Mode: "nat", Algorithm: "least-conn",
			Backends: api.UpTotal{Up: f.backends, Total: f.backends}, InRotation: f.backends, Live: int64(100 * (i + 1)), Flows: 50 * n, PacketsIn: 1500 * n, PacketsOut: 2500 * n, BytesIn: 150_000 * n, BytesOut: 2_500_000 * n}
		switch i {
		case 0:
			s.Name = "web"
		case 1:
			s.Name, s.Address, s.Port, s.Protocol, s.Mode, s.Algorithm = "dns", "2001:db8:0:1::53", "53", "udp", "dsr", "maglev"
			s.Backends.Up, s.InRotation, s.PacketsOut, s.BytesOut = 0, 0, 0, 0
		case 2:
			s.Name, s.Address, s.Port = "a-service-whose-name-is-longer-than-its-column", "2001:db8:1234:5678:9abc:def0:1234:5678", "8000-8099"
			s.Backends.Up--
		}
		list = append(list, s)
	}
	return list, f.note("services")
}

func (f *fake) Backends(_ context.Context, service string) (list []api.Backend, _ error) {
	if service == "gone" {
		return nil, errors.New(`ask for /v1/backends: 404 Not Found: there is no service "gone"`)
	}
	for i := range f.backends {
		n := uint64(2*i+1) * f.second
		b := api.Backend{Service: service, Name: fmt.Sprint("b", i), Address: fmt.Sprint("10.0.0.", 11+i), Port: "8080", Weight: 1, State: "up", Since: noon.Add(-time.Hour),
			Check: "200 in 1.2ms", MAC: fmt.Sprintf("02:00:00:00:00:%02x", i), Egress: "eth0.100", Live: int64(10 * (i + 1)), Flows: 5 * n, PacketsIn: 150 * n, PacketsOut: 250 * n, BytesIn: 15_000 * n, BytesOut: 250_000 * n}
		switch i {
		case 1:
			b.State, b.Weight, b.Override = "drain", 0, "weight 0"
		case 2:
			b.State, b.Check = "down", "connect to 10.0.0.13:8080: connection refused\x1b[2J\nafter three attempts, the last of which took longer than the timeout of two seconds"
		case 3:
			b.State, b.Reason, b.MAC, b.Egress = "unreachable", "10.0.0.14 is an own address", "", ""
		}
		list = append(list, b)
	}
	return list, f.note("backends of %s", service)
}

func (f *fake) Counters(context.Context) ([]api.Counter, error) {
	n := f.second
	return []api.Counter{
		{Group: "packets", Name: "forwarded", Value: 900_000 * n, Help: "sent on"},
		{Group: "packets", Name: "malformed", Value: 3, Loss: true, Help: "headers that contradict each other, or end too early"},
		{Group: "packets", Name: "no-flow", Value: 18_990 * n, Loss: true, Help: "of no connection that is known, and none that may begin: a segment in mid-stream from whom nobody has heard before"},
		{Group: "packets", Name: "ttl", Value: 0, Loss: true, Help: "on its last hop"},
		{Group: "kernel", Name: "rx-ring-full", Value: 7, Loss: true, Help: "dropped because a worker was slower than its queue"},
	}, f.note("counters")
}

func (f *fake) Events(context.Context, time.Time) (list []api.Event, _ error) {
	for i := range f.second {
		e := api.Event{Seq: i + 1, Time: noon.Add(time.Duration(i-40) * time.Second), Kind: "backend-down", Severity: "warn", Service: "web", Backend: fmt.Sprint("b", i), Text: "backend is down", Reason: "connection refused\nthree times"}
		if i%2 == 0 {
			e.Kind, e.Severity, e.Service, e.Backend, e.Text, e.Reason = "serving", "info", "", "", "the interface is served", ""
			e.Interface = "eth0"
		}
		list = append(list, e)
	}
	return list, f.note("events")
}

// screen is a top on a screen of a test's own.
type screen struct {
	*Model
	t    *testing.T
	fake *fake
}

func newScreen(t *testing.T, width, height int, o Options) *screen {
	t.Helper()
	f := &fake{services: 3, backends: 4, second: 40, started: noon.Add(-3*time.Hour - 2*time.Minute)}
	s := &screen{New(t.Context(), f, o), t, f}
	s.Update(tea.WindowSizeMsg{Width: width, Height: height})
	return s
}

// pass lets a second go by, and what was asked for be answered.
func (s *screen) pass() {
	s.t.Helper()
	s.fake.second++
	s.answered()
}

// answered answers what was asked for last.
func (s *screen) answered() {
	s.t.Helper()
	got := s.ask()().(sampled)
	got.at = noon.Add(time.Duration(s.fake.second-40) * time.Second)
	if got.sample != nil {
		got.sample.at = got.at
	}
	s.Update(got)
}

// press presses keys by their names, and answers what they ask for.
func (s *screen) press(names ...string) {
	s.t.Helper()
	codes := map[string]rune{"enter": tea.KeyEnter, "esc": tea.KeyEscape, "down": tea.KeyDown, "up": tea.KeyUp, "pgdown": tea.KeyPgDown, "end": tea.KeyEnd,
		"tab": tea.KeyTab, "right": tea.KeyRight, "left": tea.KeyLeft, "backspace": tea.KeyBackspace}
	for _, name := range names {
		k := tea.Key{Code: codes[name]}
		if k.Code == 0 {
			k = tea.Key{Code: rune(name[0]), Text: name}
		}
		_, then := s.Update(tea.KeyPressMsg(k))
		if then == nil {
			continue
		}
		switch then().(type) {
		case sampled:
			s.answered()
		case tea.QuitMsg:
			s.fake.asked = append(s.fake.asked, "quit")
		}
	}
}

// text is the frame without its looks.
func (s *screen) text() string { return ansi.Strip(s.frame()) }

// wants holds that the frame has each of these.
func (s *screen) wants(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if !strings.Contains(s.text(), text) {
			s.t.Errorf("no %q in\n%s", text, s.text())
		}
	}
}

func (s *screen) wantsNot(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if strings.Contains(s.text(), text) {
			s.t.Errorf("%q in\n%s", text, s.text())
		}
	}
}
