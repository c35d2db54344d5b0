package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"golang.org/x/net/netutil"

	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/metrics"
)

const (
	// webClients is how many connections there are at a time; others wait.
	webClients = 64
	// webRetry is the pause before an address that could not be had is tried again.
	webRetry = 2 * time.Second
)

// serveWeb serves metrics on the address of the config until ctx ends. An address that can't
// be had does not keep the balancer from work: it is told, and tried again.
func (d *daemon) serveWeb(ctx context.Context, m *metrics.Metrics) {
	for ctx.Err() == nil {
		l, err := net.Listen("tcp", d.config.Listen)
		if err == nil {
			d.webWorks(nil)
			err = d.serveWebOn(ctx, netutil.LimitListener(l, webClients), m)
		}
		d.webWorks(err)
		select {
		case <-ctx.Done():
		case <-time.After(webRetry):
		}
	}
}

func (d *daemon) serveWebOn(ctx context.Context, l net.Listener, m *metrics.Metrics) error {
	errorLog, err := zap.NewStdLogAt(d.log.Named("web"), zap.WarnLevel)
	if err != nil {
		return fmt.Errorf("make log of web server: %w", err)
	}
	d.log.Info("metrics are served", zap.String("at", fmt.Sprintf("http://%s/metrics", l.Addr())))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m)
	s := &http.Server{
		Handler: mux, ErrorLog: errorLog, MaxHeaderBytes: 16 << 10,
		ReadTimeout: 10 * time.Second, WriteTimeout: time.Minute, IdleTimeout: time.Minute,
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

// webWorks notes whether metrics are served, and tells of what has changed.
func (d *daemon) webWorks(err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	d.mu.Lock()
	before := d.state.web
	d.state.web = why
	d.mu.Unlock()
	switch {
	case why != "" && why != before:
		d.events.Record(events.Event{Kind: events.Listen, Severity: events.Warning, Text: "metrics are not served; trying again", Reason: why})
	case why == "" && before != "":
		d.events.Record(events.Event{Kind: events.Listen, Over: true, Severity: events.Info, Text: "over: metrics are not served"})
	}
}
