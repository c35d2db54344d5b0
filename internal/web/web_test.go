package web

import (
	"bufio"
	"context"
	"io"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/events"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stub is a Source with one service, which must not be asked to change anything, nor of clients.
type stub struct {
	api.Source
	events *events.Recorder
}

func (stub) Status() api.Status         { return api.Status{State: api.StateServing} }
func (stub) Services() []api.Service    { return []api.Service{{Name: "web"}} }
func (stub) Counters() []api.Counter    { return []api.Counter{{Name: "forwarded"}} }
func (s stub) Events() *events.Recorder { return s.events }

func (stub) Backends(service string) iter.Seq[api.Backend] {
	if service != "web" {
		return slices.Values([]api.Backend(nil))
	}
	return slices.Values([]api.Backend{{Service: service, Name: "a"}})
}

// many clients are more than a test is.
const many = 1000

// served has the page at an address of loopback until the test ends.
func served(t *testing.T, clients int) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "afxlb_state 1\n") })
	go func() {
		ended <- Serve(ctx, l, Options{Source: stub{events: events.NewRecorder(zap.NewNop())}, Metrics: metrics, Log: zap.NewNop(), Clients: clients})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// ask asks with headers, of which Host is one.
func ask(t *testing.T, address, method, path string, headers ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// What is there answers, nothing can be changed, and nothing is told of clients.
func TestWhatIsServed(t *testing.T) {
	at := served(t, many)
	for _, c := range []struct {
		method, path, kind string
		want               int
	}{
		{"GET", "/", "text/html; charset=utf-8", 200},
		{"HEAD", "/", "text/html; charset=utf-8", 200},
		{"GET", "/assets/app.js", "text/javascript; charset=utf-8", 200},
		{"GET", "/assets/vendor/uPlot.min.css", "text/css; charset=utf-8", 200},
		{"GET", "/metrics", "text/plain; charset=utf-8", 200},
		{"GET", "/v1/status", "application/json", 200},
		{"GET", "/v1/services", "application/json", 200},
		{"GET", "/v1/backends?service=web", "application/json", 200},
		{"GET", "/v1/counters", "application/json", 200},
		{"GET", "/v1/openapi.json", "application/openapi+json", 200},
		{"GET", "/v1/backends?service=none", "application/problem+json", 404},
		{"GET", "/v1/flows", "application/problem+json", 404},
		{"GET", "/v1/", "application/problem+json", 404},
		{"POST", "/v1/reload", "application/problem+json", 404},
		{"POST", "/v1/status", "application/problem+json", 405},
		{"DELETE", "/", "text/plain; charset=utf-8", 405},
		{"GET", "/assets/", "text/plain; charset=utf-8", 404},
		{"GET", "/assets/../web.go", "text/plain; charset=utf-8", 404},
		{"GET", "/assets/vendor/README.md", "text/plain; charset=utf-8", 404},
		{"GET", "/index.html", "text/plain; charset=utf-8", 404},
	} {
		if res := ask(t, at, c.method, c.path); res.StatusCode != c.want || res.Header.Get("Content-Type") != c.kind {
			t.Errorf("%s %s: %s %s, want %d %s", c.method, c.path, res.Status, res.Header.Get("Content-Type"), c.want, c.kind)
		}
	}
}

// A stream comes as it is made, and there are few places for them, so that others get answers.
func TestStreamsOfThePage(t *testing.T) {
	at := served(t, 8)
	for i := range 3 {
		res := ask(t, at, "GET", "/v1/watch?with=services,counters")
		if i == 2 {
			if res.StatusCode != 503 {
				t.Errorf("one more than a quarter of the connections: %s", res.Status)
			}
			break
		}
		line, err := bufio.NewReader(res.Body).ReadString('\n')
		if res.StatusCode != 200 || err != nil || !strings.HasPrefix(line, `data: {"version":`) {
			t.Errorf("%s %q %v", res.Status, line, err)
		}
	}
	if res := ask(t, at, "GET", "/metrics"); res.StatusCode != 200 {
		t.Errorf("a scrape beside them: %s", res.Status)
	}
}

// A name that some site's owner has resolve to this address gets nothing of the page.
func TestHost(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	at := served(t, many)
	for host, want := range map[string]int{
		at: 200, "127.0.0.1": 200, "127.0.0.1:1": 200, "[::1]:9190": 200, "[::1]": 200, "192.0.2.7:9190": 200, "[fe80::1]:9190": 200,
		"localhost": 200, "LocalHost:9190": 200, name: 200, strings.ToUpper(name) + ":9190": 200,
		"evil.example": 403, "evil.example:9190": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "evil" + name: 403, "::1.evil.example": 403, "a:b:c": 403,
	} {
		for _, path := range []string{"/", "/assets/app.js", "/v1/status", "/v1/watch"} {
			if res := ask(t, at, "GET", path, "Host", host); res.StatusCode != want {
				t.Errorf("%s of %s: %s, want %d", path, host, res.Status, want)
			}
		}
		if res := ask(t, at, "GET", "/metrics", "Host", host); res.StatusCode != 200 {
			t.Errorf("metrics of %s: %s", host, res.Status)
		}
		for _, browser := range [][]string{{"Accept-Language", ""}, {"Accept-Language", "de"}, {"User-Agent", "Mozilla/5.0"}, {"Sec-Fetch-Mode", "cors"}} {
			if res := ask(t, at, "GET", "/metrics", append(browser, "Host", host)...); res.StatusCode != want {
				t.Errorf("metrics of %s to a browser with %q: %s, want %d", host, browser, res.Status, want)
			}
		}
	}
}

// Another site's page gets neither an answer nor a place of a stream by a reader's browser.
func TestOtherSites(t *testing.T) {
	at := served(t, many)
	for _, c := range []struct {
		headers []string
		want    int
	}{
		{nil, 200},
		{[]string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		{[]string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, 200},
		{[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, 200},
		{[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, 403},
		{[]string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"}, 403},
		{[]string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, 403},
		{[]string{"Origin", "http://" + at}, 200},
		{[]string{"Origin", "http://evil.example"}, 403},
		{[]string{"Origin", "http://127.0.0.1:1"}, 403},
		{[]string{"Origin", "null"}, 403},
		{[]string{"Origin", "://"}, 403},
	} {
		for _, path := range []string{"/", "/v1/watch", "/metrics"} {
			res := ask(t, at, "GET", path, c.headers...)
			if res.StatusCode != c.want {
				t.Errorf("%s with %q: %s, want %d", path, c.headers, res.Status, c.want)
			}
			for name := range res.Header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("%s with %q: %s: %s", path, c.headers, name, res.Header.Get(name))
				}
			}
		}
	}
	if res := ask(t, at, "OPTIONS", "/v1/status", "Access-Control-Request-Method", "GET"); res.StatusCode == 200 || res.StatusCode == 204 {
		t.Errorf("a preflight: %s", res.Status)
	}
}

// Every answer, also one that refuses, says what browsers may do with it.
func TestHeaders(t *testing.T) {
	at := served(t, many)
	for _, path := range []string{"/", "/assets/style.css", "/v1/status", "/metrics", "/none", "/v1/flows"} {
		res := ask(t, at, "GET", path)
		csp := res.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(csp+";", want+";") {
				t.Errorf("%s: no %s in %q", path, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") || strings.Contains(csp, "http") {
			t.Errorf("%s: %q", path, csp)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := res.Header.Get(name); got != want {
				t.Errorf("%s: %s: %q", path, name, got)
			}
		}
	}
}

// A browser that has a file asks whether it is the same, and gets it once.
func TestFilesAreKept(t *testing.T) {
	at := served(t, many)
	res := ask(t, at, "GET", "/assets/app.js")
	tag := res.Header.Get("ETag")
	if res.Header.Get("Cache-Control") != "no-cache" || tag == "" {
		t.Errorf("%v", res.Header)
	}
	if res := ask(t, at, "GET", "/assets/app.js", "If-None-Match", tag); res.StatusCode != http.StatusNotModified {
		t.Errorf("asked again: %s", res.Status)
	}
	if res := ask(t, at, "GET", "/assets/dom.js", "If-None-Match", tag); res.StatusCode != 200 {
		t.Errorf("another: %s", res.Status)
	}
}

// A scrape may take longer than an answer of the API.
func TestScrapeHasTime(t *testing.T) {
	w := &deadline{ResponseRecorder: httptest.NewRecorder()}
	newHandler(http.NotFoundHandler(), http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if left := time.Until(w.at); left < scrapeTime/2 || left > scrapeTime {
		t.Errorf("%v are left", left)
	}
}

type deadline struct {
	*httptest.ResponseRecorder
	at time.Time
}

func (d *deadline) SetWriteDeadline(at time.Time) error {
	d.at = at
	return nil
}
