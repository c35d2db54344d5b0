package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Problem is what is answered instead of what was asked for: a problem document of RFC
// 9457. Its type is about:blank, which is left out, or one of these.
type Problem = huma.ErrorModel

// The types of a [ConfigError] and a [MachineError].
const (
	ProblemConfig  = "urn:afxlb:problem:config"
	ProblemMachine = "urn:afxlb:problem:machine"
)

// problem is what to tell of an error.
func problem(err error) *Problem {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, new(ConfigError)):
		return &Problem{Type: ProblemConfig, Status: http.StatusUnprocessableEntity, Title: "The config is wrong", Detail: err.Error()}
	case errors.As(err, new(MachineError)):
		return &Problem{Type: ProblemMachine, Status: http.StatusConflict, Title: "The machine can't do it", Detail: err.Error()}
	}
	return newProblem(http.StatusInternalServerError, err.Error())
}

func newProblem(status int, detail string) *Problem {
	return &Problem{Status: status, Title: http.StatusText(status), Detail: detail}
}

// refuse answers with a problem.
func refuse(w http.ResponseWriter, p *Problem) {
	renewDeadline(w)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // to a client that may have gone
}

// NotHere answers for a part of the API that is not served by the way that the request came.
func NotHere(w http.ResponseWriter, r *http.Request) {
	refuse(w, newProblem(http.StatusNotFound, r.Method+" "+r.URL.Path+" is not served here: the control socket has all of the API"))
}

const (
	maxErrors = 10  // that are told of one request
	maxQuoted = 200 // bytes of each thing that they quote
)

// invalid is the problem of a request that is not as the document has it. The library would tell
// each thing that is wrong, and quote for each all of what that is in: the whole body for a field
// that is unknown, so that the answer to a small one with many of these had gigabytes.
func invalid(status int, detail string, errs ...error) huma.StatusError {
	p := newProblem(status, detail)
	for i, err := range errs {
		if i == maxErrors {
			p.Errors = append(p.Errors, &huma.ErrorDetail{Message: fmt.Sprintf("and %d more", len(errs)-i)})
			break
		}
		d := &huma.ErrorDetail{}
		if told, ok := err.(huma.ErrorDetailer); ok {
			*d = *told.ErrorDetail()
		} else {
			d.Message = err.Error()
		}
		d.Message, d.Location = shortened(d.Message), shortened(d.Location)
		switch v := d.Value.(type) {
		case string:
			d.Value = shortened(v)
		case []byte:
			d.Value = shortened(string(v))
		case map[string]any, []any, map[any]any:
			d.Value = nil // the location says where
		}
		p.Errors = append(p.Errors, d)
	}
	return p
}

func shortened(s string) string {
	if len(s) <= maxQuoted {
		return s
	}
	return strings.ToValidUTF8(s[:maxQuoted], "") + "…"
}

// ServeHTTP answers one request.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, pattern := h.mux.Handler(r)
	if pattern != "" {
		h.mux.ServeHTTP(w, r)
		return
	}
	// The mux has a line of text for what it does not know. All of it that tells more than
	// the status is which methods there are.
	said := &head{header: http.Header{}}
	answer.ServeHTTP(said, r)
	if allow := said.header.Get("Allow"); said.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", allow)
		refuse(w, newProblem(said.status, r.Method+" is no method of "+r.URL.Path+": "+allow))
		return
	}
	refuse(w, newProblem(http.StatusNotFound, "there is no "+r.URL.Path+": /v1/openapi.json has what there is"))
}

// head takes the head of an answer, and no body.
type head struct {
	header http.Header
	status int
}

func (h *head) Header() http.Header         { return h.header }
func (h *head) Write(b []byte) (int, error) { return len(b), nil }
func (h *head) WriteHeader(status int)      { h.status = status }

// refuseQuery refuses what is no query, or gives something twice: it would go on without the
// filter that was meant.
func (h *handler) refuseQuery(c huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(c)
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		refuse(w, newProblem(http.StatusBadRequest, "malformed query: "+shortened(err.Error())))
		return
	}
	for name, values := range q {
		if len(values) > 1 {
			refuse(w, newProblem(http.StatusBadRequest, shortened(name)+" is given more than once; a list has commas"))
			return
		}
	}
	next(c)
}

// refuseBody refuses what comes with a body where none is taken: who sends one means
// something by it.
func (h *handler) refuseBody(c huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(c)
	if c.Operation().RequestBody == nil && r.ContentLength != 0 {
		w.Header().Set("Connection", "close") // rather than read it
		refuse(w, newProblem(http.StatusBadRequest, r.Method+" "+r.URL.Path+" takes no body"))
		return
	}
	next(c)
}

// refuseChange refuses changes by those who may only read, and by other sites' pages: a browser
// in which somebody has put his certificate shows it for these as well.
func (h *handler) refuseChange(c huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(c)
	if c.Operation().Method != http.MethodGet {
		err := h.mayChange(r)
		if err == nil {
			err = new(http.CrossOriginProtection).Check(r)
		}
		if err != nil {
			refuse(w, newProblem(http.StatusForbidden, err.Error()))
			return
		}
	}
	next(c)
}

// text says what a problem is about, in a line if it has one.
func text(p *Problem) string {
	parts := []string{}
	if p.Detail != "" {
		parts = append(parts, p.Detail)
	}
	for _, e := range p.Errors {
		parts = append(parts, e.Error())
	}
	return strings.Join(parts, ": ")
}
