package api

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fixed is a Source with known answers; flows echoes the filter it was asked for.
type fixed struct{}

func (fixed) Status() Status {
	return Status{Version: "v1", State: "serving", Generation: 7, Workers: []Worker{{Queue: 3, CPU: -1, Received: 9}}}
}
func (fixed) Services() []Service { return []Service{{Name: "web", Live: 2}} }
func (fixed) Backends(s string) []Backend {
	return []Backend{{Service: s, Name: "a"}}
}
func (fixed) Flows(f FlowFilter) []Flow {
	return []Flow{{Service: f.Service, Backend: f.Backend, Client: f.Client, PacketsIn: uint64(f.Limit)}}
}
func (fixed) Counters() []Counter { return []Counter{{Group: "packets", Name: "forwarded", Value: 1}} }

func serve(t *testing.T) (path string, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run", "afxlb.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, fixed{}) }()
	return path, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

func TestClientGetsWhatTheSourceSays(t *testing.T) {
	path, stop := serve(t)
	defer stop()
	c, ctx := NewClient(path), context.Background()

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
	check("backends", backends, err, fixed{}.Backends("a b&c"))
	filter := FlowFilter{Service: "web", Backend: "a", Client: "2001:db8::1", Limit: 5}
	flows, err := c.Flows(ctx, filter)
	check("flows", flows, err, fixed{}.Flows(filter))
	flows, err = c.Flows(ctx, FlowFilter{})
	check("flows, default limit", flows, err, fixed{}.Flows(FlowFilter{Limit: defaultFlowLimit}))
	counters, err := c.Counters(ctx)
	check("counters", counters, err, fixed{}.Counters())
}

func TestServeRemovesItsSocket(t *testing.T) {
	path, stop := serve(t)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o660 {
		t.Errorf("socket mode %o, want 660", got)
	}
	stop()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the stop: %v, want not there", err)
	}
	_, err = NewClient(path).Status(context.Background())
	if err == nil || !strings.Contains(err.Error(), "is it running?") {
		t.Errorf("client without a server: %v", err)
	}
}

func TestListenSparesALivingBalancer(t *testing.T) {
	path, stop := serve(t)
	defer stop()
	if _, err := Listen(path); !errors.Is(err, ErrInUse) {
		t.Fatalf("second Listen: %v, want ErrInUse", err)
	}
	if _, err := NewClient(path).Status(context.Background()); err != nil {
		t.Errorf("the first was harmed: %v", err)
	}
}

func TestListenReplacesAStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "afxlb.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false) // as after SIGKILL
	l.Close()
	l2, err := Listen(path)
	if err != nil {
		t.Fatalf("Listen over a stale socket: %v", err)
	}
	l2.Close()
}

func TestListenLeavesOtherFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil {
		t.Fatal("Listen on a regular file worked")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "data" {
		t.Errorf("file after Listen: %q, %v", b, err)
	}
}

func TestHandlerRefusesBadRequests(t *testing.T) {
	for _, c := range []struct {
		method, url string
		want        int
	}{
		{"GET", "/v1/flows?limit=0", 400},
		{"GET", "/v1/flows?limit=x", 400},
		{"GET", "/v1/flows?limit=1", 200},
		{"GET", "/v1/flows?client=10.0.0", 400},
		{"GET", "/v1/flows?client=2001:db8::1", 200},
		{"POST", "/v1/status", 405},
		{"GET", "/v2/status", 404},
	} {
		r := httptest.NewRecorder()
		Handler(fixed{}).ServeHTTP(r, httptest.NewRequest(c.method, c.url, nil))
		if r.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.url, r.Code, c.want)
		}
		if c.want == 200 && !json.Valid(r.Body.Bytes()) {
			t.Errorf("%s %s: not JSON: %s", c.method, c.url, r.Body)
		}
	}
}

// slow is a Source that takes its time.
type slow struct {
	fixed
	asked, answer chan struct{}
}

func (s slow) Status() Status {
	close(s.asked)
	<-s.answer
	return s.fixed.Status()
}

// Serve returns when the last question has its answer, or has had time for it: its
// caller is about to exit.
func TestServeAnswersWhatWasAsked(t *testing.T) {
	for _, patient := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "afxlb.sock")
		l, err := Listen(path)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		src := slow{asked: make(chan struct{}), answer: make(chan struct{})}
		ended, answered := make(chan error, 1), make(chan error, 1)
		go func() { ended <- Serve(ctx, l, src) }()
		go func() {
			_, err := NewClient(path).Status(context.Background())
			answered <- err
		}()
		<-src.asked
		cancel()
		if patient {
			_, err := os.Stat(path)
			for ; err == nil; _, err = os.Stat(path) {
				runtime.Gosched() // it has begun to stop when its socket is gone
			}
			select {
			case <-ended:
				t.Fatal("Serve returned before the answer")
			default:
			}
			close(src.answer)
		}
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		if err := <-answered; (err == nil) != patient {
			t.Errorf("patient %v: the client got %v", patient, err)
		}
		if !patient {
			close(src.answer)
		}
	}
}
