package api

import (
	"context"
	"iter"

	"github.com/afxlb/afxlb/internal/events"
)

// Source is what the server asks; internal/report implements it. Any number of
// goroutines ask at the same time.
type Source interface {
	Status() Status
	Services() []Service
	// Backends yields the backends of one service, or of all if its name is empty. Like
	// Flows it holds no lock while its consumer works.
	Backends(service string) iter.Seq[Backend]
	// Flows yields the flows that the filter selects. It holds no lock while its
	// consumer works, which may take as long as a slow client reads. The server stops
	// at the filter's limit.
	Flows(FlowFilter) iter.Seq[Flow]
	Counters() []Counter
	Events() *events.Recorder
	// Trace says what would become of a packet, and changes nothing. What can't be asked is an
	// error of [Refuse].
	Trace(*TraceQuery) (Trace, error)
	// Capture begins a capture, which the caller has to carry out. What a client asks for in
	// vain is an error of [Refuse].
	Capture(*CaptureFilter) (Captured, error)
	// Reload reads the config again and applies it. A config that is wrong is a
	// ConfigError, and one that the machine can't do a MachineError. The context ends when
	// the client goes away.
	Reload(context.Context) (Reload, error)
	// Preview says what a Reload would do now, of the balancer's own file or, if there is one,
	// of another config. It changes nothing.
	Preview(context.Context, *ConfigText) (Reload, error)
	// Change changes a backend of a service that there is. For a backend that there is not
	// it is [Unknown]'s error.
	Change(context.Context, BackendOrder) (BackendChanged, error)
}
