package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// capturing is a Source whose capture writes what it is told, until it is to end.
type capturing struct {
	fixed
	write func(context.Context, io.Writer) error
}

func (s capturing) Capture(*CaptureFilter) (Captured, error) { return s.write, nil }

// TestCapture: the filter gets there as it is, and what is written comes at once.
func TestCapture(t *testing.T) {
	c := serve(t, fixed{})
	body, err := c.Capture(t.Context(), &CaptureFilter{
		Service: "web", Backend: "a", Address: "198.51.100.7", Verdict: []string{"dropped", "replied"}, Filter: "tcp and not port 80",
		Count: 3, Time: "10s", Rate: 4, Snaplen: 5, Sample: 6,
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	body.Close()
	want := "{Service:web Backend:a Address:198.51.100.7 Verdict:[dropped replied] Filter:tcp and not port 80 Count:3 Time:10s Rate:4 Snaplen:5 Sample:6}"
	if string(got) != want || err != nil {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	for what, f := range map[string]CaptureFilter{
		"a wrong filter": {Filter: "wrong"}, "there is no service": {Service: "none"}, "there is no backend": {Backend: "none"}, "address": {Address: "x"},
	} {
		if body, err := c.Capture(t.Context(), &f); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%+v: %v", f, err)
			if err == nil {
				body.Close()
			}
		}
	}
}

// Whoever may only read gets no packets.
func TestCaptureIsForChangers(t *testing.T) {
	r := httptest.NewRecorder()
	nobody := func(*http.Request) error { return errors.New("changes are for others") }
	handlerOf(fixed{}, nobody).ServeHTTP(r, httptest.NewRequest("POST", "/v1/capture", nil))
	if r.Code != http.StatusForbidden || !strings.Contains(r.Body.String(), "for others") {
		t.Errorf("%d, %s", r.Code, r.Body)
	}
}

// TestCaptureEnds: with the client, and with the server, each of which the other sees.
func TestCaptureEnds(t *testing.T) {
	ended := make(chan error, 1)
	src := capturing{write: func(ctx context.Context, to io.Writer) error {
		_, err := to.Write([]byte("first"))
		if err == nil {
			<-ctx.Done()
			_, err = to.Write([]byte(", last"))
		}
		ended <- err
		return err
	}}
	c := serve(t, src)
	body, err := c.Capture(t.Context(), &CaptureFilter{})
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 5)
	if _, err := io.ReadFull(body, first); err != nil || string(first) != "first" {
		t.Fatalf("%s, %v", first, err)
	}
	body.Close()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on without its client")
	}
	path := filepath.Join(t.TempDir(), "afxlb.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, l, src, nop, 10) }()
	if body, err = NewClient(path).Capture(t.Context(), &CaptureFilter{}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(body, first); err != nil {
		t.Fatal(err)
	}
	all := make(chan string, 1)
	go func() {
		rest, err := io.ReadAll(body)
		all <- string(rest) + errText(err)
	}()
	cancel()
	if got := <-all; got != ", last" {
		t.Errorf("when the server ends, %q", got)
	}
	body.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestCapturesHavePlacesOfStreams: they leave room for questions, as streams do, and none is begun in vain.
func TestCapturesHavePlacesOfStreams(t *testing.T) {
	began := 0
	src := begun{n: &began}
	places := newStreams(streamShare) // one
	h := newHandler(src, anybody, places)
	ask := func() int {
		r := httptest.NewRecorder()
		h.ServeHTTP(r, httptest.NewRequest("POST", "/v1/capture", nil))
		return r.Code
	}
	places.places <- struct{}{} // somebody watches
	if code := ask(); code != http.StatusServiceUnavailable || began != 0 {
		t.Errorf("without a place: %d, %d have begun", code, began)
	}
	<-places.places
	for range 3 { // each gives it back
		if code := ask(); code != http.StatusOK {
			t.Errorf("with a place: %d", code)
		}
	}
}

// begun is a Source that counts captures, which end at once.
type begun struct {
	fixed
	n *int
}

func (s begun) Capture(*CaptureFilter) (Captured, error) {
	*s.n++
	return func(context.Context, io.Writer) error { return nil }, nil
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestTrace(t *testing.T) {
	c := serve(t, fixed{})
	got, err := c.Trace(t.Context(), &TraceQuery{Packet: "tcp 198.51.100.7:1 > 192.0.2.10:80", Queue: 3})
	if err != nil || got.Packet != "tcp 198.51.100.7:1 > 192.0.2.10:80" || len(got.Steps) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Trace(t.Context(), &TraceQuery{}); err == nil {
		t.Error("nothing is traced")
	}
}
