package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/afxlb/afxlb/internal/events"
)

// empty is a Source that has nothing.
type empty struct{}

func (empty) Status() Status                         { return Status{} }
func (empty) Services() []Service                    { return nil }
func (empty) Backends(string) iter.Seq[Backend]      { return func(func(Backend) bool) {} }
func (empty) Flows(FlowFilter) iter.Seq[Flow]        { return func(func(Flow) bool) {} }
func (empty) Counters() []Counter                    { return nil }
func (empty) Events() *events.Recorder               { return events.NewRecorder(nop) }
func (empty) Reload(context.Context) (Reload, error) { return Reload{}, nil }
func (empty) Preview(context.Context, *ConfigText) (Reload, error) {
	return Reload{}, nil
}

func (empty) Change(context.Context, BackendOrder) (BackendChanged, error) {
	return BackendChanged{}, nil
}

func (empty) Trace(*TraceQuery) (Trace, error) {
	return Trace{Steps: []TraceStep{}, Sent: []TraceSent{}}, nil
}
func (empty) Capture(*CaptureFilter) (Captured, error) { return nil, Refuse(409, "not here") }

func TestClientGetsWhatTheSourceSays(t *testing.T) {
	c, ctx := serve(t, fixed{}), t.Context()
	check := func(name string, got any, err error, want any) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: -want +got:\n%s", name, d)
		}
	}
	status, err := c.Status(ctx)
	check("status", status, err, fixed{}.Status())
	services, err := c.Services(ctx)
	check("services", services, err, fixed{}.Services())
	backends, err := c.Backends(ctx, "a b&c")
	check("backends", backends, err, slices.Collect(fixed{}.Backends("a b&c")))
	filter := FlowFilter{Service: "web", Backend: "a", Client: "2001:db8::1", Limit: 5}
	flows, err := c.Flows(ctx, filter)
	check("flows", flows, err, slices.Collect(fixed{}.Flows(filter)))
	flows, err = c.Flows(ctx, FlowFilter{})
	check("flows, default limit", flows, err, slices.Collect(fixed{}.Flows(FlowFilter{Limit: 1000})))
	counters, err := c.Counters(ctx)
	check("counters", counters, err, fixed{}.Counters())
	happens, err := c.Events(ctx, time.Time{})
	check("events", happens[0].Reason, err, "<no carrier>")
	reload, err := c.Reload(ctx)
	check("reload", reload, err, reloaded)
	reload, err = c.Preview(ctx, nil)
	check("dry run", reload, err, planned(nil))
	text := &ConfigText{"a file&c.yaml", []byte("services: []\n")}
	reload, err = c.Preview(ctx, text)
	check("plan", reload, err, planned(text))
	order := BackendOrder{Service: "web", Backend: "a&b", Action: ActionWeight, Weight: new(0), Volatile: true}
	changed, err := c.Change(ctx, order)
	check("change", changed, err, changedBy(order))
}

func TestRawClient(t *testing.T) {
	c := serve(t, fixed{})
	var raw bytes.Buffer
	list, err := c.Raw(&raw).Backends(t.Context(), "web")
	if err != nil || list != nil {
		t.Errorf("%v, %v", list, err)
	}
	if err := json.Unmarshal(raw.Bytes(), &list); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff(slices.Collect(fixed{}.Backends("web")), list); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if list, err := c.Backends(t.Context(), ""); err != nil || len(list) != 2 {
		t.Errorf("the client itself decodes no more: %v, %v", list, err)
	}
}

// The limit is passed as it was given, for the server to refuse.
func TestClientPassesTheLimit(t *testing.T) {
	if list, err := serve(t, fixed{}).Flows(t.Context(), FlowFilter{Limit: -5}); err == nil || !strings.Contains(err.Error(), "(query.limit: -5)") {
		t.Errorf("%v, %v", list, err)
	}
}

// failing is a Source whose reloads fail.
type failing struct {
	fixed
	err error
}

func (f failing) Reload(context.Context) (Reload, error)               { return Reload{}, f.err }
func (f failing) Preview(context.Context, *ConfigText) (Reload, error) { return Reload{}, f.err }

func TestReloadThatFails(t *testing.T) {
	text := "afxlb.yaml:3: services[0].port: 0 is no port\n" + strings.Repeat("afxlb.yaml:4: more\n", 1000) + "last"
	_, err := serve(t, failing{err: fmt.Errorf("%w", ConfigError{errors.New(text)})}).Reload(t.Context())
	if !errors.As(err, new(ConfigError)) || err.Error() != text {
		t.Errorf("wrong config: %T %.200v", err, err)
	}
	_, err = serve(t, failing{err: errors.New("update the maps: no space")}).Reload(t.Context())
	if err == nil || errors.As(err, new(ConfigError)) || !strings.Contains(err.Error(), "500") || !strings.Contains(err.Error(), "no space") {
		t.Errorf("another trouble: %T %v", err, err)
	}
}

// cutting is a Source whose list of flows breaks off in the middle.
type cutting struct{ fixed }

func (cutting) Flows(FlowFilter) iter.Seq[Flow] {
	return func(yield func(Flow) bool) {
		for range 1000 {
			yield(Flow{Service: "web"})
		}
		panic("oh dear")
	}
}

func TestAnswerThatIsCutOff(t *testing.T) {
	c := serve(t, cutting{})
	var raw bytes.Buffer
	for _, c := range []*Client{c, c.Raw(&raw)} {
		if _, err := c.Flows(t.Context(), FlowFilter{Limit: 5000}); err == nil || !strings.Contains(err.Error(), "cut off") {
			t.Errorf("error %v, want that it was cut off", err)
		}
	}
	if raw.Len() == 0 {
		t.Error("nothing came before: this tests nothing")
	}
}

func TestWithoutABalancer(t *testing.T) {
	dir := t.TempDir()
	gone := filepath.Join(dir, "gone")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: gone, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	for path, want := range map[string]error{filepath.Join(dir, "none"): syscall.ENOENT, gone: syscall.ECONNREFUSED} {
		_, err := NewClient(path).Status(t.Context())
		if !errors.Is(err, want) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "is it running?") || strings.Contains(err.Error(), "http://") {
			t.Errorf("%v, want %v, and a hint", err, want)
		}
	}
	denied := NewClient("x").unanswered(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)})
	if !strings.Contains(denied.Error(), "owner and group") {
		t.Errorf("%v, want a hint at the mode", denied)
	}
}

// A balancer that takes connections and says nothing is not waited for for ever, but
// one whose answer comes in pieces is, however long the whole takes.
func TestClientsPatience(t *testing.T) {
	answer := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[{}\r\n"
	for name, c := range map[string]struct {
		pieces []string
		pause  time.Duration
		ask    func(context.Context, *Client) error
		want   string
		took   time.Duration
	}{
		"silent":      {nil, 0, counters, "no answer for 10s", 10 * time.Second},
		"falls mute":  {[]string{answer}, time.Second, counters, "no answer for 10s", 11 * time.Second},
		"slow":        {[]string{answer, "3\r\n,{}\r\n", "3\r\n,{}\r\n", "1\r\n]\r\n0\r\n\r\n"}, 9 * time.Second, counters, "", 36 * time.Second},
		"slow reload": {[]string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"}, 59 * time.Second, reloading, "", 59 * time.Second},
		"no reload":   {nil, 0, reloading, "no answer for 1m0s", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, start := newPipes(), time.Now()
				defer p.Close()
				go func() {
					conn, _ := p.Accept()
					go func() { _, _ = io.Copy(io.Discard, conn) }()
					for _, piece := range c.pieces {
						time.Sleep(c.pause)
						_, _ = io.WriteString(conn, piece)
					}
				}()
				err := c.ask(t.Context(), p.client())
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v, want %q", err, c.want)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("it took %v, want %v", took, c.took)
				}
			})
		})
	}
}

func counters(ctx context.Context, c *Client) error {
	_, err := c.Counters(ctx)
	return err
}

func reloading(ctx context.Context, c *Client) error {
	_, err := c.Reload(ctx)
	return err
}
