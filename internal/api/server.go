package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// ErrInUse says that another balancer answers on the control socket.
var ErrInUse = errors.New("another afxlb is running")

// DefaultSocket is where the control socket is unless told otherwise.
const DefaultSocket = "/run/afxlb/afxlb.sock"

const defaultFlowLimit = 1000

// Listen opens the control socket at path, for its owner and group only. A
// socket that a killed process left behind is replaced; a living one is not.
func Listen(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("listen on control socket %s: a file of another kind is there", path)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("listen on control socket %s: %w (stop it, or choose another path by --socket)", path, ErrInUse)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove stale control socket: %w", err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make folder of control socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on control socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, fmt.Errorf("restrict control socket: %w", err)
	}
	return l, nil
}

// Serve answers on l until ctx ends, and removes the socket. What was asked before
// gets its answer, if that takes no longer than a second.
func Serve(ctx context.Context, l net.Listener, src Source) error {
	s := &http.Server{Handler: Handler(src), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if s.Shutdown(grace) != nil {
			s.Close()
		}
	})
	err := s.Serve(l)
	if !stop() {
		<-ended
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve control socket: %w", err)
	}
	return nil
}

// Handler returns the API over src.
func Handler(src Source) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, src.Status()) })
	m.HandleFunc("GET /v1/services", func(w http.ResponseWriter, _ *http.Request) { answer(w, src.Services()) })
	m.HandleFunc("GET /v1/counters", func(w http.ResponseWriter, _ *http.Request) { answer(w, src.Counters()) })
	m.HandleFunc("GET /v1/backends", func(w http.ResponseWriter, r *http.Request) {
		answer(w, src.Backends(r.URL.Query().Get("service")))
	})
	m.HandleFunc("GET /v1/flows", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		f := FlowFilter{Service: q.Get("service"), Backend: q.Get("backend"), Client: q.Get("client"), Limit: defaultFlowLimit}
		if _, err := netip.ParseAddr(f.Client); f.Client != "" && err != nil {
			http.Error(w, fmt.Sprintf("client %q: want an IP address", f.Client), http.StatusBadRequest)
			return
		}
		if s := q.Get("limit"); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil || n < 1 {
				http.Error(w, fmt.Sprintf("limit %q: want a number from 1 up", s), http.StatusBadRequest)
				return
			}
			f.Limit = n
		}
		answer(w, src.Flows(f))
	})
	return m
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // the reader went away: nobody is left to tell
}
