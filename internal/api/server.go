package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// Serve answers on l until ctx ends, and removes the socket. What was asked before
// gets its answer, if that takes no longer than a second. Go's own complaints, a
// handler's panic among them, go to log. No more than so many clients have a connection
// at a time; four fifths of them are answered, the others wait.
func Serve(ctx context.Context, l net.Listener, src Source, log *zap.Logger, clients int) error {
	return serveHandler(ctx, l, log, clients, func(s *streams) http.Handler { return newHandler(src, changers(l.Addr()), s) })
}

// ServeReads is [Serve] for a server that has more than the API, and of that only what
// changes nothing, for whoever comes: site has what there is around it. Nobody is told words of the
// config file, in which secrets may be, but where in it they are.
func ServeReads(ctx context.Context, l net.Listener, src Source, log *zap.Logger, clients int, site func(reads http.Handler) http.Handler) error {
	nobody := func(*http.Request) error { return errors.New("nothing can be changed by this way") }
	return serveHandler(ctx, l, log, clients, func(s *streams) http.Handler {
		h := newHandler(src, nobody, s)
		h.outlined = true
		return site(h)
	})
}

func serveHandler(ctx context.Context, l net.Listener, log *zap.Logger, clients int, handler func(*streams) http.Handler) error {
	errorLog, err := zap.NewStdLogAt(log, zap.WarnLevel)
	if err != nil {
		return fmt.Errorf("make log of server: %w", err)
	}
	p, lasting := newPool(l, clients), newStreams(clients)
	s := &http.Server{
		Handler:           p.limit(handler(lasting)),
		ConnContext:       p.context,
		ErrorLog:          errorLog,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      writeTimeout, // renewed for each chunk
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
	s.RegisterOnShutdown(func() { close(lasting.end) })
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
		return fmt.Errorf("serve clients at %s: %w", l.Addr(), err)
	}
	return nil
}
