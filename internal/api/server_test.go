package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// untouchable is a Source that must not be asked to change anything.
type untouchable struct{ fixed }

func (untouchable) Reload(context.Context) (Reload, error) { panic("reloaded") }
func (untouchable) Change(context.Context, BackendOrder) (BackendChanged, error) {
	panic("changed")
}
func (untouchable) Preview(context.Context, *ConfigText) (Reload, error) { panic("asked") }

func (untouchable) Trace(*TraceQuery) (Trace, error)         { panic("traced") }
func (untouchable) Capture(*CaptureFilter) (Captured, error) { panic("captured") }

func anybody(*http.Request) error { return nil }

// What can't be answered is a problem document that says what is wrong.
func TestHandlerRefusesBadRequests(t *testing.T) {
	for _, c := range []struct {
		method, url, body string
		want              int
		says              string // of the problem
	}{
		{"GET", "/v1/flows?limit=0", "", 422, "query.limit"},
		{"GET", "/v1/flows?limit=-5", "", 422, "query.limit"},
		{"GET", "/v1/flows?limit=x", "", 422, "query.limit"},
		{"GET", "/v1/flows?limit=99999999999999999999", "", 422, "query.limit"},
		{"GET", "/v1/flows?limit=1", "", 200, ""},
		{"GET", "/v1/flows?client=10.0.0", "", 422, "query.client"},
		{"GET", "/v1/flows?client=2001:db8::1", "", 200, ""},
		{"GET", "/v1/flows?limit=5&limits=6", "", 422, "query.limits"},
		{"GET", "/v1/flows?service=wbe", "", 404, `no service "wbe"; there are: web`},
		{"GET", "/v1/flows?service=web&backend=c", "", 404, `no backend "c"; there are: a, b`},
		{"GET", "/v1/flows?service=web&backend=b", "", 200, ""},
		{"GET", "/v1/status?verbose", "", 422, "query.verbose"},
		{"GET", "/v1/status", "{}", 400, "no body"},
		{"POST", "/v1/reload", `{"force": true}`, 400, "no body"},
		{"POST", "/v1/reload?dry-run=perhaps", "", 422, "query.dry-run"},
		{"POST", "/v1/reload?dryrun=true", "", 422, "query.dryrun"},
		{"POST", "/v1/reload?dry-run=true", "services: []", 400, "no body"},
		{"POST", "/v1/plan", "", 400, "body is required"},
		{"POST", "/v1/plan?dry-run=true", "services: []", 422, "query.dry-run"},
		{"POST", "/v1/plan", strings.Repeat("#", maxConfig+1), 413, "too large"},
		{"GET", "/v1/plan", "", 405, "POST"},
		{"POST", "/v1/backends/change", "", 400, "body"},
		{"POST", "/v1/backends/change", "{", 400, "unexpected end"},
		{"POST", "/v1/backends/change", `[]`, 422, "body"},
		{"POST", "/v1/backends/change", `{"service": "web", "backend": "a"}`, 422, "action"},
		{"POST", "/v1/backends/change", `{"service": "web", "backend": "a", "action": "kill"}`, 422, "body.action"},
		{"POST", "/v1/backends/change", `{"service": "web", "backend": "a", "action": "drain", "force": true}`, 422, "body.force"},
		{"POST", "/v1/backends/change", `{"service": "web", "backend": "a", "action": "drain", "weight": 0}`, 422, "not for drain"},
		{"POST", "/v1/backends/change", `{"service": "web", "backend": "a", "action": "weight", "weight": 65536}`, 422, "body.weight"},
		{"POST", "/v1/backends/change", `{"service": "web", "backend": "a", "action": "weight", "weight": -1}`, 422, "body.weight"},
		{"POST", "/v1/backends/change", `{"service": "web", "backend": "a", "action": "weight", "weight": 1.5}`, 422, "body.weight"},
		{"POST", "/v1/backends/change", `{"service": "web", "backend": "a", "action": "weight", "weight": "1"}`, 422, "body.weight"},
		{"POST", "/v1/backends/change", `{"service": ["web"], "backend": "a", "action": "drain"}`, 422, "body.service"},
		{"POST", "/v1/backends/change", `{"service": "` + strings.Repeat("x", 1<<20) + `"}`, 413, "limit"},
		{"POST", "/v1/backends/change", "{" + strings.Repeat(`"x":1,`, 2000) + `"y":1}`, 422, "body.x"},
		{"POST", "/v1/backends/change", unknownFields(2000), 422, "more"},
		{"POST", "/v1/backends/change", `{"` + strings.Repeat("x", 1<<19) + `": 1}`, 422, "body.x"},
		{"POST", "/v1/backends/change", strings.Repeat("[", 1<<19), 400, "max depth"},
		{"POST", "/v1/backends/change", `{"service": "web", "Backend": "a", "action": "drain"}`, 422, "body.Backend"},
		{"GET", "/v1/backends?service=%zz", "", 400, "malformed query"},
		{"GET", "/v1/flows?limit=1;service=web", "", 400, "malformed query"},
		{"GET", "/v1/flows?service=web&service=none", "", 400, "service is given more than once"},
		{"GET", "/v1/backends/change", "", 405, "POST"},
		{"POST", "/v1/status", "", 405, "GET, HEAD"},
		{"DELETE", "/v1/flows", "", 405, "GET, HEAD"},
		{"GET", "/v1/reload", "", 405, "POST"},
		{"HEAD", "/v1/reload", "", 405, "POST"},
		{"PUT", "/v1/reload", "", 405, "POST"},
		{"GET", "/v2/status", "", 404, "/v2/status"},
		{"GET", "/", "", 404, "openapi.json"},
	} {
		r, name := httptest.NewRecorder(), c.method+" "+c.url
		handlerOf(untouchable{}, anybody).ServeHTTP(r, httptest.NewRequest(c.method, c.url, strings.NewReader(c.body)))
		if r.Code != c.want {
			t.Errorf("%s: %d, want %d", name, r.Code, c.want)
		}
		if c.want == 200 {
			if !json.Valid(r.Body.Bytes()) {
				t.Errorf("%s: not JSON: %s", name, r.Body)
			}
			continue
		}
		if r.Body.Len() > 8<<10 {
			t.Errorf("%s: %d bytes say what is wrong", name, r.Body.Len())
		}
		var p Problem
		if err := json.Unmarshal(r.Body.Bytes(), &p); err != nil || r.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: no problem document: %v %v", name, r.Header(), r.Body)
		}
		if p.Status != c.want || p.Title == "" || !strings.Contains(text(&p), c.says) {
			t.Errorf("%s: %d %q %q, want %q in it", name, p.Status, p.Title, text(&p), c.says)
		}
	}
}

// unknownFields is an object of so many.
func unknownFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%d": 1, `, i)
	}
	return "{" + b.String() + `"action": "drain"}`
}

func TestUnknownServiceOfTheBackends(t *testing.T) {
	r := httptest.NewRecorder()
	handlerOf(empty{}, anybody).ServeHTTP(r, httptest.NewRequest("GET", "/v1/backends?service=web", nil))
	if r.Code != 404 || !strings.Contains(r.Body.String(), "there are: none") {
		t.Errorf("%d %s", r.Code, r.Body)
	}
}

// Those who may only read are told so, and change nothing.
func TestChangesAreForSome(t *testing.T) {
	nobody := func(*http.Request) error { return errors.New("not for you") }
	for _, c := range []struct {
		method, url string
		want        int
	}{{"GET", "/v1/status", 200}, {"POST", "/v1/reload", 403}, {"POST", "/v1/backends/change", 403}} {
		r := httptest.NewRecorder()
		handlerOf(untouchable{}, nobody).ServeHTTP(r, httptest.NewRequest(c.method, c.url, nil))
		if r.Code != c.want || c.want == 403 && !strings.Contains(r.Body.String(), "not for you") {
			t.Errorf("%s %s: %d %s", c.method, c.url, r.Code, r.Body)
		}
	}
}

// Who may change something does so by a page of the balancer's own at most, not by another site's.
func TestChangesAreNotForOtherSites(t *testing.T) {
	for name, c := range map[string]struct {
		header, value string
		ok            bool
	}{
		"another site":  {"Sec-Fetch-Site", "cross-site", false},
		"a neighbour":   {"Sec-Fetch-Site", "same-site", false},
		"old browser":   {"Origin", "https://example.net", false},
		"a sandbox":     {"Origin", "null", false},
		"own page":      {"Sec-Fetch-Site", "same-origin", true},
		"own old page":  {"Origin", "https://example.com", true},
		"not a browser": {"Accept", "*/*", true},
	} {
		for _, path := range []string{"/v1/reload", "/v1/plan", "/v1/backends/change", "/v1/capture"} {
			var src Source = untouchable{}
			if c.ok {
				src = fixed{}
			}
			r, w := httptest.NewRequest("POST", path, nil), httptest.NewRecorder() // to example.com
			r.Header.Set(c.header, c.value)
			handlerOf(src, anybody).ServeHTTP(w, r)
			if (w.Code == http.StatusForbidden) == c.ok {
				t.Errorf("%s by %s: %d %s", path, name, w.Code, w.Body)
			}
		}
	}
}

// A list that is empty is [], which a reader may range over, and not null.
func TestEmptyLists(t *testing.T) {
	for _, url := range []string{"/v1/status", "/v1/services", "/v1/backends", "/v1/flows", "/v1/counters", "/v1/reload"} {
		r, method := httptest.NewRecorder(), "GET"
		if url == "/v1/reload" {
			method = "POST"
		}
		handlerOf(empty{}, anybody).ServeHTTP(r, httptest.NewRequest(method, url, nil))
		body := r.Body.String()
		if r.Code != 200 || strings.Contains(body, "null") || !strings.Contains(body, "[]") {
			t.Errorf("%s: %d %s", url, r.Code, body)
		}
	}
}

// The limit holds whatever the Source does.
func TestFlowLimit(t *testing.T) {
	for query, want := range map[string]int{"": 1000, "?limit=1": 1, "?limit=2500": 2500} {
		src, r := &endless{}, httptest.NewRecorder()
		handlerOf(src, anybody).ServeHTTP(r, httptest.NewRequest("GET", "/v1/flows"+query, nil))
		var list []Flow
		if err := json.Unmarshal(r.Body.Bytes(), &list); err != nil || len(list) != want || !src.ended.Load() {
			t.Errorf("%q: %d flows, want %d; %v", query, len(list), want, err)
		}
	}
}

// broken is a Source whose Counters panics.
type broken struct{ fixed }

func (broken) Counters() []Counter { panic("oh dear") }

func TestPanicReachesTheLog(t *testing.T) {
	core, seen := observer.New(zapcore.DebugLevel)
	c := NewClient(serveAt(t, broken{}, zap.New(core)))
	if list, err := c.Counters(t.Context()); err == nil {
		t.Errorf("counters: %v", list)
	}
	if n := seen.Filter(func(e observer.LoggedEntry) bool {
		return e.Level == zapcore.WarnLevel && strings.Contains(e.Message, "oh dear")
	}).Len(); n != 1 {
		t.Errorf("the log has it %d times: %v", n, seen.All())
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// poor is a listener in a process that has no descriptors left at first.
type poor struct {
	net.Listener
	before bool
}

func (p *poor) Accept() (net.Conn, error) {
	if !p.before {
		p.before = true
		return nil, &net.OpError{Op: "accept", Net: "unix", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return p.Listener.Accept()
}

// Go's own complaints are in the log, and don't end the serving.
func TestTroubleOfGosServerReachesTheLog(t *testing.T) {
	core, seen := observer.New(zapcore.DebugLevel)
	path := filepath.Join(t.TempDir(), "afxlb.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, &poor{Listener: l}, fixed{}, zap.New(core), maxConns) }()
	if _, err := NewClient(path).Status(t.Context()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if seen.FilterLevelExact(zapcore.WarnLevel).Len() != 1 || !strings.Contains(seen.All()[0].Message, "too many open files") {
		t.Errorf("log: %v", seen.All())
	}
}

// What is no request ends its connection and nothing else.
func TestRubbish(t *testing.T) {
	c := serve(t, fixed{})
	noise := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(noise)
	for name, rubbish := range map[string][]byte{
		"noise":       noise,
		"long line":   bytes.Repeat([]byte("x"), 1<<20),
		"long header": append([]byte("GET /v1/status HTTP/1.1\r\nHost: x\r\nX: "), bytes.Repeat([]byte("x"), 1<<20)...),
		"long path":   fmt.Appendf(nil, "GET /v1/%s HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("x", 1<<20)),
		"long body":   append([]byte("POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"), noise...),
		"many fields": append([]byte("GET /v1/status HTTP/1.1\r\nHost: x\r\n"), bytes.Repeat([]byte("A: b\r\n"), 1<<17)...),
	} {
		conn, err := net.Dial("unix", c.path)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = conn.Write(rubbish) }() // it ends when the connection does
		b, err := io.ReadAll(conn)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", name, err)
		}
		if len(b) > 0 && !bytes.HasPrefix(b, []byte("HTTP/1.1 4")) {
			t.Errorf("%s: answered by %.40q", name, b)
		}
		conn.Close()
		if _, err := c.Status(t.Context()); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
}

func TestHeadersAreBounded(t *testing.T) {
	for size, want := range map[int]int{8 << 10: 200, 32 << 10: 431} {
		conn, err := net.Dial("unix", serve(t, fixed{}).path)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = fmt.Fprintf(conn, "GET /v1/status HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", size))
		if res := response(t, conn); res.StatusCode != want {
			t.Errorf("%d bytes: %s", size, res.Status)
		}
		conn.Close()
	}
}

// asking is a Source that takes its time.
type asking struct {
	fixed
	asked, answer chan struct{}
}

func (s asking) Status() Status {
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
		src := asking{asked: make(chan struct{}), answer: make(chan struct{})}
		ended, answered := make(chan error, 1), make(chan error, 1)
		go func() { ended <- Serve(ctx, l, src, nop, maxConns) }()
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

// A listener that breaks is an error of Serve's.
func TestServeWithoutListener(t *testing.T) {
	l, err := Listen(filepath.Join(t.TempDir(), "afxlb.sock"))
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := Serve(t.Context(), l, fixed{}, nop, maxConns); !errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		t.Errorf("Serve: %v", err)
	}
}

// TestMissing: a name that several have is said once.
func TestMissing(t *testing.T) {
	if err := missing("backend", "c", []string{"a", "b", "a", "b"}); !strings.HasSuffix(err.Error(), "there are: a, b") {
		t.Error(err)
	}
}
