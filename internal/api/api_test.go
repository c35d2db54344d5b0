package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/afxlb/afxlb/internal/events"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(listenHere); path != "" {
		listenForEver(path)
	}
	goleak.VerifyTestMain(m)
}

var nop = zap.NewNop()

// fixed is a Source with known answers; flows echoes the filter it was asked for.
type fixed struct{}

func (fixed) Status() Status {
	return Status{Version: "v1", State: "serving", Generation: 7, Ports: []Port{{Name: "eth0", State: "serving", Queues: []int{3}}}, Workers: []Worker{{Queue: 3, CPU: -1, Received: 9}},
		Warnings: []Warning{{Code: "code", Text: "<text>"}}, NeedsRestart: []string{"queues"}, Drops: []Counter{{Name: "ttl", Value: 4}}, Flows: FlowTable{ByClass: map[string]int{"tcp-syn": 3}},
		Driver: "native", Poll: "adaptive",
		NotUp:     []NotUp{{Service: "web", Backend: "b", State: "down", Reason: "connection refused"}},
		Overrides: []Override{{Service: "web", Backend: "a", Setting: "drain", Kept: true}},
		SnatPorts: []SnatPorts{{Service: "web", Backend: "a", Taken: 5, Resting: 1, Total: 9}}}
}
func (fixed) Services() []Service { return []Service{{Name: "web", Live: 2, Announce: "none"}} }
func (fixed) Backends(s string) iter.Seq[Backend] {
	asked := time.Unix(1000, 0).UTC()
	return slices.Values([]Backend{
		{Service: s, Name: "a", State: "up", Checks: []Check{{Type: "tcp", Result: "ok", At: &asked}, {Result: "none"}}},
		{Service: s, Name: "b", State: "unreachable", Reason: "route is by eth1", Checks: []Check{}},
	})
}
func (fixed) Flows(f FlowFilter) iter.Seq[Flow] {
	return slices.Values([]Flow{{Service: f.Service, Backend: f.Backend, Client: f.Client, PacketsIn: uint64(f.Limit)}})
}
func (fixed) Counters() []Counter                    { return []Counter{{Group: "packets", Name: "forwarded", Value: 1}} }
func (fixed) Reload(context.Context) (Reload, error) { return reloaded, nil }

var reloaded = Reload{
	Generation: 8, NeedsRestart: []string{"queues"}, Settings: []SettingChange{{Key: "queues", Old: "all", New: "0-3", NeedsRestart: true}},
	Overrides: []OverrideFate{{Service: "web", Backend: "a", Override: "drain", Kept: true}},
	Services: []ServiceChange{{
		Service: "web", Change: Changed, Settings: []SettingChange{{Key: "algorithm"}}, Slots: 65537, SlotsMoved: 1, MovedPercent: 0.01,
		Backends: []BackendChange{{Backend: "a", Change: Added, Settings: []SettingChange{}}},
	}},
}

func (fixed) Preview(_ context.Context, text *ConfigText) (Reload, error) { return planned(text), nil }

// planned has the name and the text where they are seen.
func planned(text *ConfigText) Reload {
	r := Reload{DryRun: true, NeedsRestart: []string{}, Settings: []SettingChange{}, Services: []ServiceChange{}, Overrides: []OverrideFate{}}
	if text != nil {
		r.Settings = []SettingChange{{Key: text.Name, New: string(text.Text)}}
	}
	return r
}

func (fixed) Change(_ context.Context, order BackendOrder) (BackendChanged, error) {
	return changedBy(order), nil
}

// changedBy echoes an order.
func changedBy(o BackendOrder) BackendChanged {
	c := BackendChanged{Generation: 9, Service: o.Service, Backend: o.Backend, Kept: !o.Volatile, Old: BackendSetting{State: o.Action}, Warnings: []string{"<text>"}}
	if o.Weight != nil {
		c.New.Weight = *o.Weight + 1
	}
	return c
}

func (fixed) Trace(q *TraceQuery) (Trace, error) {
	return Trace{Packet: q.Packet, Steps: []TraceStep{{Step: "steering", By: "services"}}, Sent: []TraceSent{}}, nil
}
func (fixed) Capture(f *CaptureFilter) (Captured, error) {
	if f.Filter == "wrong" {
		return nil, Refuse(422, "a wrong filter")
	}
	return func(ctx context.Context, to io.Writer) error {
		_, err := fmt.Fprintf(to, "%+v", *f)
		return err
	}, nil
}

func (fixed) Events() *events.Recorder { return happened }

// happened has a few events.
var happened = func() *events.Recorder {
	r := events.NewRecorder(nop)
	r.Record(Event{Kind: events.Link, Severity: events.Warning, Text: "the link is down", Reason: "<no carrier>"})
	r.Record(Event{Kind: events.Link, Severity: events.Warning, Over: true, Text: "the link is up"})
	return r
}()

// handlerOf returns the API over src without a server.
func handlerOf(src Source, mayChange func(*http.Request) error) http.Handler {
	return newHandler(src, mayChange, newStreams(maxConns))
}

// serve answers from src on a socket of the test's until the test ends.
func serve(t testing.TB, src Source) *Client {
	t.Helper()
	return NewClient(serveAt(t, src, nop))
}

func serveAt(t testing.TB, src Source, log *zap.Logger) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run", "afxlb.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	serveBy(t, l, src, log)
	return path
}

// serveBy answers by a listener until the test ends.
func serveBy(t testing.TB, l net.Listener, src Source, log *zap.Logger) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, src, log, maxConns) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Serve: %v", err)
		}
	})
}

// As many clients as the daemon has room for, unless descriptors are few.
const maxConns, maxClients = 80, 64
