package daemon

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/web"
)

// webRetry is the pause before an address that could not be had is tried again.
const webRetry = 2 * time.Second

// serveWeb serves page and metrics, to so many clients at a time, on the address of the config until
// ctx ends. An address that can't be had does not keep the balancer from work: it is told, and tried again.
func (d *daemon) serveWeb(ctx context.Context, src api.Source, metrics http.Handler, clients int) {
	for ctx.Err() == nil {
		l, err := net.Listen("tcp", d.config.Listen)
		if err == nil {
			d.webWorks(nil)
			d.log.Info("page and metrics are served", zap.String("page", fmt.Sprintf("http://%s/", l.Addr())), zap.String("metrics", fmt.Sprintf("http://%s/metrics", l.Addr())))
			err = web.Serve(ctx, l, web.Options{Source: src, Metrics: metrics, Log: d.log.Named("web"), Clients: clients})
		}
		d.webWorks(err)
		select {
		case <-ctx.Done():
		case <-time.After(webRetry):
		}
	}
}

// webWorks notes whether page and metrics are served, and tells of what has changed.
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
		d.events.Record(events.Event{Kind: events.Listen, Severity: events.Warning, Text: "page and metrics are not served; trying again", Reason: why})
	case why == "" && before != "":
		d.events.Record(events.Event{Kind: events.Listen, Over: true, Severity: events.Info, Text: "over: page and metrics are not served"})
	}
}
