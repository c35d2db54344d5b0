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

func TestHandlerRefusesBadRequests(t *testing.T) {
	for _, c := range []struct {
		method, url string
		want        int
	}{
		{"GET", "/v1/flows?limit=0", 400},
		{"GET", "/v1/flows?limit=-5", 400},
		{"GET", "/v1/flows?limit=x", 400},
		{"GET", "/v1/flows?limit=99999999999999999999", 400},
		{"GET", "/v1/flows?limit=1", 200},
		{"GET", "/v1/flows?client=10.0.0", 400},
		{"GET", "/v1/flows?client=2001:db8::1", 200},
		{"POST", "/v1/status", 405},
		{"DELETE", "/v1/flows", 405},
		{"GET", "/v1/reload", 405},
		{"HEAD", "/v1/reload", 405},
		{"PUT", "/v1/reload", 405},
		{"GET", "/v2/status", 404},
		{"GET", "/", 404},
	} {
		r := httptest.NewRecorder()
		Handler(untouchable{}).ServeHTTP(r, httptest.NewRequest(c.method, c.url, nil))
		if r.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.url, r.Code, c.want)
		}
		if c.want == 200 && !json.Valid(r.Body.Bytes()) {
			t.Errorf("%s %s: not JSON: %s", c.method, c.url, r.Body)
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
		Handler(empty{}).ServeHTTP(r, httptest.NewRequest(method, url, nil))
		body := strings.Replace(r.Body.String(), `"by_class": null`, "", 1) // a map
		if r.Code != 200 || strings.Contains(body, "null") || !strings.Contains(body, "[]") {
			t.Errorf("%s: %d %s", url, r.Code, body)
		}
	}
}

// The limit holds whatever the Source does.
func TestFlowLimit(t *testing.T) {
	for query, want := range map[string]int{"": 1000, "?limit=1": 1, "?limit=2500": 2500} {
		src, r := &endless{}, httptest.NewRecorder()
		Handler(src).ServeHTTP(r, httptest.NewRequest("GET", "/v1/flows"+query, nil))
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
