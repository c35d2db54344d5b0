package api

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/afxlb/afxlb/internal/events"
)

// A list is never null: readers range over it. Names of fields are as the document has them.
func init() {
	huma.DefaultArrayNullable = false
	huma.ValidateStrictCasing = true
	huma.NewError = invalid
}

// handler is the API over a Source.
type handler struct {
	source    Source
	mayChange func(*http.Request) error // nil: it may; else why not
	outlined  bool                      // for whoever comes: without words of the config file
	streams   *streams
	current   current
	lists     lists
	mux       *http.ServeMux
	api       huma.API
}

// newHandler returns the API over src. Changes are for those whom mayChange lets.
func newHandler(src Source, mayChange func(*http.Request) error, streams *streams) *handler {
	h := &handler{source: src, mayChange: mayChange, streams: streams, mux: http.NewServeMux()}
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{Info: &huma.Info{
			Title: "afxlb", Version: "1",
			Description: "The control API of the load balancer afxlb. Fields may be added to an answer, and are never renamed or removed. " +
				"GET never changes anything. What can't be answered is a problem document of RFC 9457.",
		}},
		Formats:                      huma.DefaultFormats, // JSON
		RejectUnknownQueryParameters: true,
	}
	config.AllowAdditionalPropertiesByDefault = true // of answers, to which fields may be added
	h.api = humago.New(h.mux, config)
	h.api.UseMiddleware(h.refuseQuery, h.refuseBody, h.refuseChange)
	h.routes()
	return h
}

type nothing struct{}

// routes adds every endpoint.
func (h *handler) routes() {
	object(h, "/v1/status", "The balancer at a glance", func(context.Context, *nothing) (Status, error) {
		return h.status(), nil
	})
	list(h, "/v1/services", "All services", func(*nothing) (iter.Seq[Service], error) {
		return slices.Values(h.source.Services()), nil
	})
	list(h, "/v1/backends", "The backends of one service, or of all", func(in *struct {
		Service string `query:"service" doc:"only this service's"`
	}) (iter.Seq[Backend], error) {
		if in.Service == "" {
			return h.source.Backends(""), nil
		}
		found := slices.Collect(h.source.Backends(in.Service))
		if len(found) == 0 {
			return slices.Values(found), h.known(in.Service, "")
		}
		return slices.Values(found), nil
	})
	list(h, "/v1/flows", "The flows that a filter selects", func(in *FlowFilter) (iter.Seq[Flow], error) {
		return first(in.Limit, h.source.Flows(*in)), h.known(in.Service, in.Backend)
	})
	list(h, "/v1/counters", "All counters, each with its meaning", func(*nothing) (iter.Seq[Counter], error) {
		return slices.Values(h.source.Counters()), nil
	})
	h.reloads()
	action(h, "/v1/backends/change", "Drain, disable or enable a backend, or give it another weight",
		"It answers when that is in force. It holds until it is taken back, or the file says something else of the backend, and is kept over a restart "+
			"unless it is volatile or there is no state file.", h.change)
	lasting[eventFilter, Event](h, "/v1/events", "What has happened, and what happens",
		"Each change of state once, as a stream: first those that are kept, which are the last "+strconv.Itoa(events.Kept)+", and then each as it comes. "+
			"After a pause a client goes on where it was by the header Last-Event-ID, or the parameter after. A message named gap says in its data, "+
			"which is #/components/schemas/Gap, that some are not kept any more. To a client that would rather have application/json than a stream it is a list of those that are kept.",
		func(*eventFilter) error { return nil }, h.followEvents, h.listEvents)
	schema[Gap](h)
	schema[Tick](h)
	lasting[watching, Status](h, "/v1/watch", "The balancer at a glance, whenever that changes",
		"A stream of what /v1/status answers: once at first, and then whenever it is another. With services, backends or counters it has besides what these endpoints answer, "+
			"in messages of their names: at first, and then each second if it is another; and each second a message named tick, whose data is #/components/schemas/Tick. "+
			"With events it has these as messages named event, and resumes as /v1/events does.",
		h.refuseWatching, h.followStatus, nil)
	object(h, "/v1/trace", "What would become of a packet, and why", func(_ context.Context, in *TraceQuery) (Trace, error) {
		return h.source.Trace(in)
	})
	h.capturing()
	h.mux.HandleFunc("GET /v1/openapi.json", h.document)
}

// known returns an error if there is no such service or backend; an empty name stands for all.
func (h *handler) known(service, backend string) error {
	if service != "" {
		var names []string
		for _, s := range h.source.Services() {
			names = append(names, s.Name)
		}
		if !slices.Contains(names, service) {
			return missing("service", service, names)
		}
	}
	if backend != "" {
		var names []string
		for b := range h.source.Backends(service) {
			names = append(names, b.Name)
		}
		if !slices.Contains(names, backend) {
			return missing("backend", backend, names)
		}
	}
	return nil
}

// missing says that there is none of a name, and what there is.
func missing(kind, name string, have []string) error {
	const few = 10
	seen, more := map[string]bool{}, ""
	have = slices.DeleteFunc(have, func(one string) bool { // backends of several services may have the same
		twice := seen[one]
		seen[one] = true
		return twice
	})
	if len(have) > few {
		have, more = have[:few], fmt.Sprintf(" and %d more", len(have)-few)
	}
	return newProblem(http.StatusNotFound, fmt.Sprintf("there is no %s %q; there are: %s%s", kind, name, cmp.Or(strings.Join(have, ", "), "none"), more))
}

// object adds an endpoint that answers with one document.
func object[I, O any](h *handler, path, summary string, ask func(context.Context, *I) (O, error)) {
	register(h, operation[O](h, http.MethodGet, path, summary), ask, answer[O])
}

// list adds one that answers with an array, one element a line, while it comes.
func list[I, T any](h *handler, path, summary string, ask func(*I) (iter.Seq[T], error)) {
	register(h, operation[[]T](h, http.MethodGet, path, summary),
		func(_ context.Context, in *I) (iter.Seq[T], error) { return ask(in) }, answerList[T])
}

// action adds one that changes something. The context ends when the client goes away.
func action[I, O any](h *handler, path, summary, description string, do func(context.Context, *I) (O, error)) {
	op := operation[O](h, http.MethodPost, path, summary)
	op.Description = description
	register(h, op, do, answer[O])
}

// operation describes an endpoint that answers with an O.
func operation[O any](h *handler, method, path, summary string) huma.Operation {
	return huma.Operation{
		OperationID: strings.ToLower(method) + strings.ReplaceAll(strings.TrimPrefix(path, "/v1"), "/", "-"),
		Method:      method, Path: path, Summary: summary,
		Responses: map[string]*huma.Response{"200": {
			Description: "OK", Content: map[string]*huma.MediaType{"application/json": {Schema: schema[O](h)}},
		}},
	}
}

// schema describes a type.
func schema[T any](h *handler) *huma.Schema {
	return h.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[T](), true, "")
}

// register adds an endpoint that takes an I, asks for an answer to it, and sends that by send.
func register[I, A any](h *handler, op huma.Operation, ask func(context.Context, *I) (A, error), send func(http.ResponseWriter, *http.Request, A)) {
	huma.Register(h.api, op, func(ctx context.Context, in *I) (*huma.StreamResponse, error) {
		a, err := ask(ctx, in)
		return &huma.StreamResponse{Body: func(c huma.Context) {
			r, w := humago.Unwrap(c)
			if err != nil {
				refuse(w, problem(err))
				return
			}
			send(w, r, a)
		}}, nil
	})
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

// status is the Source's, with lists for all that has none.
func (h *handler) status() Status {
	s := h.source.Status()
	s.Warnings, s.NeedsRestart, s.SnatPorts = orEmpty(s.Warnings), orEmpty(s.NeedsRestart), orEmpty(s.SnatPorts)
	s.Overrides, s.NotUp = orEmpty(s.Overrides), orEmpty(s.NotUp)
	s.Drops, s.Workers, s.Ports = orEmpty(s.Drops), orEmpty(s.Workers), orEmpty(s.Ports)
	if s.Flows.ByClass == nil {
		s.Flows.ByClass = map[string]int{}
	}
	if h.outlined {
		s.Reload = cmp.Or(s.ReloadOutline, s.Reload)
		for i := range s.Warnings {
			s.Warnings[i].Text = cmp.Or(s.Warnings[i].Outline, s.Warnings[i].Text)
		}
	}
	return s
}

// orEmpty makes a list that is nil one that is [] in JSON: readers range over it.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
