package api

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"
)

const defaultFlowLimit = 1000

// Serve answers on l until ctx ends, and removes the socket. What was asked before
// gets its answer, if that takes no longer than a second. Go's own complaints, a
// handler's panic among them, go to log. No more than so many clients have a connection
// at a time; four fifths of them are answered, the others wait.
func Serve(ctx context.Context, l net.Listener, src Source, log *zap.Logger, clients int) error {
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		return fmt.Errorf("make log of control socket: %w", err)
	}
	p := newPool(l, clients)
	s := &http.Server{
		Handler:           p.limit(Handler(src)),
		ConnContext:       p.context,
		ErrorLog:          errorLog,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      writeTimeout, // renewed for each chunk
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if s.Shutdown(grace) != nil {
			s.Close()
		}
	})
	err = s.Serve(p)
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
	m.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		s := src.Status()
		s.Warnings, s.NeedsRestart, s.SnatPorts = orEmpty(s.Warnings), orEmpty(s.NeedsRestart), orEmpty(s.SnatPorts)
		s.Drops, s.Workers, s.Ports = orEmpty(s.Drops), orEmpty(s.Workers), orEmpty(s.Ports)
		answer(w, s)
	})
	m.HandleFunc("GET /v1/services", func(w http.ResponseWriter, _ *http.Request) {
		answerList(w, slices.Values(src.Services()))
	})
	m.HandleFunc("GET /v1/backends", func(w http.ResponseWriter, r *http.Request) {
		answerList(w, slices.Values(src.Backends(r.URL.Query().Get("service"))))
	})
	m.HandleFunc("GET /v1/flows", func(w http.ResponseWriter, r *http.Request) {
		f, err := flowFilter(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answerList(w, first(f.Limit, src.Flows(f)))
	})
	m.HandleFunc("GET /v1/counters", func(w http.ResponseWriter, _ *http.Request) {
		answerList(w, slices.Values(src.Counters()))
	})
	m.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) { reload(w, r, src) })
	return m
}

// reload answers when the config is in force or refused, however long that takes.
func reload(w http.ResponseWriter, r *http.Request, src Source) {
	done, err := src.Reload(r.Context())
	if err == nil {
		done.NeedsRestart = orEmpty(done.NeedsRestart)
		answer(w, done)
		return
	}
	status := http.StatusInternalServerError
	if errors.As(err, new(ConfigError)) {
		status = http.StatusUnprocessableEntity
	}
	renewDeadline(w)
	http.Error(w, err.Error(), status)
}

func flowFilter(r *http.Request) (FlowFilter, error) {
	q := r.URL.Query()
	f := FlowFilter{Service: q.Get("service"), Backend: q.Get("backend"), Client: q.Get("client"), Limit: defaultFlowLimit}
	if _, err := netip.ParseAddr(f.Client); f.Client != "" && err != nil {
		return f, fmt.Errorf("client %q: want an IP address", f.Client)
	}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return f, fmt.Errorf("limit %q: want a number from 1 up", s)
		}
		f.Limit = n
	}
	return f, nil
}

// first yields the first n values of s; n is at least 1.
func first[T any](n int, s iter.Seq[T]) iter.Seq[T] {
	return func(yield func(T) bool) {
		left := n
		for v := range s {
			left--
			if !yield(v) || left == 0 {
				return
			}
		}
	}
}

// orEmpty makes a list that is nil one that is [] in JSON: readers range over it.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
