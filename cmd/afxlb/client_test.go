package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/events"
)

// fake is a balancer as the control socket shows it: with so many backends, and flows
// whose list breaks off if there are more than a hundred.
type fake struct {
	backends int
	events   *events.Recorder
}

func (fake) Status() api.Status      { return api.Status{Version: "v1", State: "serving"} }
func (fake) Services() []api.Service { return []api.Service{{Name: "web"}} }
func (f fake) Backends(string) iter.Seq[api.Backend] {
	list := make([]api.Backend, f.backends)
	for i := range list {
		list[i] = api.Backend{Service: "web", Name: fmt.Sprint("b", i), State: "up", Check: "<ok>"}
	}
	return slices.Values(list)
}
func (fake) Flows(f api.FlowFilter) iter.Seq[api.Flow] {
	return func(yield func(api.Flow) bool) {
		for range 100 {
			if !yield(api.Flow{Service: f.Service}) {
				return
			}
		}
		panic("no more")
	}
}
func (fake) Counters() []api.Counter {
	return []api.Counter{{Group: "packets", Name: "forwarded", Value: 1}}
}
func (f fake) Events() *events.Recorder {
	if f.events == nil {
		return events.NewRecorder(zap.NewNop())
	}
	return f.events
}
func (fake) Reload(context.Context) (api.Reload, error) {
	return api.Reload{}, errors.New("not here")
}
func (fake) Change(context.Context, api.BackendOrder) (api.BackendChanged, error) {
	return api.BackendChanged{}, errors.New("not here")
}
func (fake) Preview(context.Context, *api.ConfigText) (api.Reload, error) {
	return api.Reload{}, errors.New("not here")
}

func (fake) Trace(*api.TraceQuery) (api.Trace, error) {
	return api.Trace{Steps: []api.TraceStep{}, Sent: []api.TraceSent{}}, nil
}
func (fake) Capture(*api.CaptureFilter) (api.Captured, error) {
	return nil, api.Refuse(409, "not here")
}

// fakeSocket returns the control socket of a fake that answers until the test ends.
func fakeSocket(t *testing.T, f api.Source) string {
	t.Helper()
	path, stop := fakeBalancer(t, f)
	t.Cleanup(stop)
	return path
}

// fakeBalancer returns the control socket of a fake, and what ends it.
func fakeBalancer(t *testing.T, f api.Source) (socket string, stop func()) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "afxlb.sock")
	l, err := api.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- api.Serve(ctx, l, f, zap.NewNop(), 80) }()
	return path, sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serve the fake: %v", err)
		}
	})
}

// Short answers are indented for people; long ones are as the balancer sent them. Both
// are JSON and hold the same.
func TestJSON(t *testing.T) {
	for backends, want := range map[int]string{
		0:    "[]\n",
		2:    "[\n  {\n    \"service\": \"web\",\n    \"name\": \"b0\",\n",
		1000: "[\n  {\"service\":\"web\",\"name\":\"b0\",",
	} {
		f := fake{backends: backends}
		code, stdout, stderr := cli("backends", "--json", "--socket", fakeSocket(t, f))
		if code != exitDone || stderr != "" || !strings.HasPrefix(stdout, want) || !strings.HasSuffix(stdout, "]\n") {
			t.Errorf("%d backends: exit code %d, %.100q %q", backends, code, stdout, stderr)
		}
		list := []api.Backend{}
		if err := json.Unmarshal([]byte(stdout), &list); err != nil {
			t.Errorf("%d backends: %v", backends, err)
		}
		if d := cmp.Diff(slices.AppendSeq([]api.Backend{}, f.Backends("")), list); d != "" {
			t.Errorf("%d backends: -want +got:\n%s", backends, d)
		}
	}
	code, stdout, _ := cli("status", "--json", "--socket", fakeSocket(t, fake{}))
	if code != exitDone || !strings.HasPrefix(stdout, "{\n  \"version\": \"v1\",\n") || !strings.HasSuffix(stdout, "\n}\n") {
		t.Errorf("status: %d %q", code, stdout)
	}
}

// Of an answer that breaks off nothing is printed, by --json or without.
func TestAnswerThatBreaksOff(t *testing.T) {
	socket := fakeSocket(t, fake{})
	for _, format := range []string{"--json=true", "--json=false"} {
		code, stdout, stderr := cli("flows", "--limit", "1000", format, "--socket", socket)
		if code != exitFailed || stdout != "" || stderr == "" {
			t.Errorf("%s: exit code %d, %.100q %q", format, code, stdout, stderr)
		}
	}
}

func TestPrintJSONThatIsNone(t *testing.T) {
	var out bytes.Buffer
	if err := printJSON(&out, []byte("[1,")); err == nil || out.Len() != 0 {
		t.Errorf("printed %q, %v", &out, err)
	}
}

func TestFlowsLimit(t *testing.T) {
	socket := fakeSocket(t, fake{})
	for _, limit := range []string{"0", "-5", "x", "1.5", "99999999999999999999"} {
		code, stdout, stderr := cli("flows", "--limit", limit, "--socket", socket)
		if code != exitUsage || stdout != "" || !strings.Contains(stderr, "limit") {
			t.Errorf("--limit %s: exit code %d, %q %q", limit, code, stdout, stderr)
		}
	}
	code, stdout, stderr := cli("flows", "--limit", "3", "--service", "web", "--json", "--socket", socket)
	var list []api.Flow
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != exitDone || !slices.Equal(list, slices.Repeat([]api.Flow{{Service: "web"}}, 3)) {
		t.Errorf("--limit 3: exit code %d, %d flows, %v %q", code, len(list), err, stderr)
	}
}
