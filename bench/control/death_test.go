package control

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/lab"
)

// fake is what a control socket says.
type fake struct {
	mu       sync.Mutex
	status   api.Status
	backends []api.Backend
}

// client serves f and returns a client of it.
func (f *fake) client(t *testing.T) *api.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		answer(w, f.status)
	})
	m.HandleFunc("GET /v1/backends", func(w http.ResponseWriter, _ *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		answer(w, f.backends)
	})
	server := &http.Server{Handler: m}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return api.NewClient(path)
}

// show has backends be what is given, and the status say so.
func (f *fake) show(list ...api.Backend) {
	f.backends, f.status.State = list, "serving"
	f.status.Backends = api.UpTotal{Total: len(list)}
	for _, b := range list {
		if b.State == "up" {
			f.status.Backends.Up++
		}
	}
}

// change changes it while it is asked.
func (f *fake) change(how func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	how()
}

func TestVigil(t *testing.T) {
	begun := time.Now()
	dead, other := lab.BackendAddr(3).String(), lab.BackendAddr(2).String()
	at := func(address, state string, since time.Duration) api.Backend {
		return api.Backend{Address: address, State: state, Since: begun.Add(since)}
	}
	const old, late = -time.Hour, time.Second
	for name, c := range map[string]struct {
		list     []api.Backend
		out      bool
		mistaken int
	}{
		"nobody has noticed": {[]api.Backend{at(dead, "up", old), at(dead, "up", old), at(other, "up", old)}, false, 0},
		"one service has":    {[]api.Backend{at(dead, "down", late), at(dead, "up", old), at(other, "up", old)}, false, 0},
		"all have":           {[]api.Backend{at(dead, "down", late), at(dead, "unreachable", late), at(other, "up", old)}, true, 0},
		// As many as have to are not up; but they are others.
		"a healthy one is taken for it": {[]api.Backend{at(dead, "down", late), at(dead, "up", old), at(other, "down", late)}, false, 1},
		"all, and a healthy one":        {[]api.Backend{at(dead, "down", late), at(dead, "down", late), at(other, "warming", late)}, true, 1},
		// It came back before anybody looked: since when it is up tells.
		"all, and one that is back": {[]api.Backend{at(dead, "down", late), at(dead, "down", late), at(other, "up", late), at(other, "up", old)}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{}
			f.show(c.list...)
			v := vigil{stage: &stage{api: f.client(t)}, address: lab.BackendAddr(3), dead: 2, begun: begun}
			out, err := v.out(t.Context())
			if out != c.out || err != nil {
				t.Errorf("it is out: %v, %v; want %v", out, err, c.out)
			}
			if v.mistaken != c.mistaken {
				t.Errorf("%d are mistaken for dead, want %d", v.mistaken, c.mistaken)
			}
			if v.seen.Before(begun) {
				t.Error("nothing says when this was seen")
			}
		})
	}
}

// What the status has shown once counts, even if the list shows nothing of it.
func TestVigilRemembers(t *testing.T) {
	f := &fake{}
	f.show()
	f.status.Backends = api.UpTotal{Up: 10, Total: 17}
	v := vigil{stage: &stage{api: f.client(t)}, address: lab.BackendAddr(3), dead: 2}
	for range 2 {
		if out, err := v.out(t.Context()); out || err != nil || v.mistaken != 5 {
			t.Errorf("out %v, %v, %d mistaken, want 5", out, err, v.mistaken)
		}
		f.change(func() { f.status.Backends.Up = 17 })
	}
}

func TestAllUp(t *testing.T) {
	n := tiny.Services * tiny.Backends
	for _, c := range []struct {
		state     string
		up, total int
		want      bool
	}{
		{"serving", n, n, true}, {"starting", n, n, false}, {"serving", n - 1, n, false}, {"serving", n - 1, n - 1, false},
	} {
		f := &fake{status: api.Status{State: c.state, Backends: api.UpTotal{Up: c.up, Total: c.total}}}
		s := &stage{scene: tiny, api: f.client(t)}
		if up, err := s.allUp(t.Context()); up != c.want || err != nil {
			t.Errorf("%+v: %v, %v", c, up, err)
		}
	}
	s := &stage{scene: tiny, api: api.NewClient("/nonexistent")}
	if up, err := s.allUp(t.Context()); up || err == nil {
		t.Errorf("without a daemon: %v, %v", up, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pass(ctx, time.Hour); err == nil {
		t.Error("time has passed when all was over")
	}
}
