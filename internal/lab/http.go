package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// HTTPServer is a real HTTP server on a host, which can be killed and started again.
//
//	GET /         its name
//	GET /healthz  ok
//	GET /big?n=N  N bytes, those of [Stream]
type HTTPServer struct {
	Name    string
	host    *Host
	address string
	delay   atomic.Int64 // ns

	mu     sync.Mutex
	server *http.Server // nil while it is dead
	ended  chan struct{}
}

// HTTPServer starts a server on address, such as ":8080".
func (h *Host) HTTPServer(address, name string) (*HTTPServer, error) {
	s := &HTTPServer{Name: name, host: h, address: address}
	if err := s.Start(); err != nil {
		return nil, err
	}
	h.onClose(func() error { s.Kill(); return nil })
	return s, nil
}

// Start brings a killed server back.
func (s *HTTPServer) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		return nil
	}
	l, err := s.host.Listen("tcp", s.address)
	if err != nil {
		return fmt.Errorf("start HTTP server %s: %w", s.Name, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s.Name) })
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("GET /big", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
		if err != nil || n < 0 {
			http.Error(w, "n: want a number of bytes", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		_, _ = io.Copy(w, io.LimitReader(&Stream{}, n)) // the client may hang up
	})
	server, ended := &http.Server{Handler: s.delayed(mux), ReadHeaderTimeout: 10 * time.Second}, make(chan struct{})
	s.server, s.ended = server, ended
	go func() {
		defer close(ended)
		_ = server.Serve(l) // ends by Close
	}()
	return nil
}

// SetDelay has the server wait for so long before it answers what is asked from now on.
func (s *HTTPServer) SetDelay(d time.Duration) { s.delay.Store(int64(d)) }

// delayed is h after the delay, unless the client hangs up meanwhile.
func (s *HTTPServer) delayed(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d := time.Duration(s.delay.Load()); d > 0 {
			select {
			case <-time.After(d):
			case <-r.Context().Done():
				return
			}
		}
		h.ServeHTTP(w, r)
	})
}

// Kill ends the server and all its connections at once. The host's kernel refuses
// new ones from here on.
func (s *HTTPServer) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return
	}
	s.server.Close()
	<-s.ended
	s.server = nil
}

// HTTPClient returns a client whose connections start on the host. One connection a
// request, unless keepAlive.
func (h *Host) HTTPClient(timeout time.Duration, keepAlive bool) *http.Client {
	t := &http.Transport{DialContext: h.Dial, DisableKeepAlives: !keepAlive, DisableCompression: true}
	h.onClose(func() error { t.CloseIdleConnections(); return nil })
	return &http.Client{Transport: t, Timeout: timeout}
}

// Get asks for a URL and returns the body; any status but 200 is an error.
func Get(ctx context.Context, c *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, res.Status)
	}
	return string(body), err
}

// Stream is an endless reader of bytes that depend on their position only.
type Stream struct{ at uint64 }

// Read fills p.
func (s *Stream) Read(p []byte) (int, error) {
	for i := range p {
		x := s.at >> 3 * 0x9e3779b97f4a7c15 // a new word each eight bytes
		p[i] = byte(x >> (s.at & 7 * 8))
		s.at++
	}
	return len(p), nil
}
