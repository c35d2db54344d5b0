package daemon

import (
	"context"
	"errors"
	"net"
	"sync"

	"github.com/afxlb/afxlb/internal/api"
	"github.com/afxlb/afxlb/internal/events"
	"github.com/afxlb/afxlb/internal/report"
	"github.com/afxlb/afxlb/internal/tap"
	"github.com/afxlb/afxlb/internal/trace"
)

// doors are where clients of the API come in: the control socket, and if the config says so, one
// for other machines.
type doors []net.Listener

func (d *daemon) openDoors() (doors, error) {
	socket, err := api.Listen(d.Socket)
	if err != nil {
		return nil, err
	}
	c := &d.config.API
	if c.Listen == "" {
		return doors{socket}, nil
	}
	outer, err := api.ListenTLS(api.TLS{Address: c.Listen, Cert: c.Cert, Key: c.Key, ClientCA: c.ClientCA})
	if err != nil {
		socket.Close()
		return nil, err
	}
	return doors{socket, outer}, nil
}

// close closes those that serveAPI has not closed already.
func (d doors) close() {
	for _, l := range d {
		l.Close()
	}
}

// serveAPI answers by the doors until ctx ends, and closes them. So many clients are shared by all.
func (d *daemon) serveAPI(ctx context.Context, src api.Source, doors doors, clients int) error {
	troubles := make([]error, len(doors))
	var serving sync.WaitGroup
	for i, l := range doors {
		serving.Go(func() {
			if troubles[i] = api.Serve(ctx, l, src, d.log.Named("api"), clients/len(doors)); troubles[i] != nil {
				d.events.Record(events.Event{
					Kind: events.API, Severity: events.Error, Text: "nobody can ask any more", Address: l.Addr().String(), Reason: troubles[i].Error(),
				})
			}
		})
	}
	serving.Wait()
	return errors.Join(troubles...)
}

// source is what the control socket answers from.
type source struct {
	*report.Source
	own
}

// own is what the control socket gets from the daemon itself.
type own struct {
	daemon *daemon
	tracer *trace.Tracer
}

func (d *daemon) own() own { return own{d, &trace.Tracer{Engine: d.engine, Ports: d.names}} }

// Trace says what would become of a packet.
func (o own) Trace(q *api.TraceQuery) (api.Trace, error) { return o.tracer.Trace(q) }

// Reload reads the file again.
func (o own) Reload(ctx context.Context) (api.Reload, error) { return o.daemon.reload(ctx) }

// Preview says what that would do.
func (o own) Preview(ctx context.Context, other *api.ConfigText) (api.Reload, error) {
	return o.daemon.preview(ctx, other)
}

// Change changes a backend.
func (o own) Change(ctx context.Context, order api.BackendOrder) (api.BackendChanged, error) {
	return o.daemon.change(ctx, &order)
}

// Capture begins a capture.
func (o own) Capture(f *api.CaptureFilter) (api.Captured, error) {
	if err := o.daemon.roomToCapture(); err != nil {
		return nil, api.MachineError{Err: err}
	}
	return tap.Begin(o.daemon.engine, o.daemon.names, f)
}

// Events returns what has happened.
func (o own) Events() *events.Recorder { return o.daemon.events }
